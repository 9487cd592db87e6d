#include "query.h"

#include "audit.h"
#include "bytes/utf8.h"
#include "event/event.h"

#include <stdlib.h>
#include <string.h>

static rl_code check_text(const char *what, const char *text, struct rl_error *err)
{
    size_t n = strlen(text);
    uint32_t point;
    if (n > RL_AUDIT_QUERY_TEXT_BYTES_MAX)
        return rl_fail(err, RL_E_INVAL, "%s: %zu bytes; at most %d", what, n,
                       RL_AUDIT_QUERY_TEXT_BYTES_MAX);
    for (size_t at = 0, step; at < n; at += step)
        if ((step = rl_utf8_next(text + at, n - at, &point)) == 0)
            return rl_fail(err, RL_E_INVAL, "%s is not UTF-8", what);
    return RL_OK;
}

/* "lock.*" is a family, "*" everything, all else must be a type. */
static rl_code read_type(const char *type, struct rl_audit_query *query, struct rl_error *err)
{
    struct rl_audit_filter *filter = &query->filter;
    rl_code rc = check_text("type", type, err);
    if (rc != RL_OK)
        return rc;
    size_t n = strlen(type);
    if (strcmp(type, "*") == 0 || (n > 2 && strcmp(type + n - 2, ".*") == 0)) {
        query->families[filter->family_count++] = rl_sprintf("%.*s", (int)(n - 1), type);
        return RL_OK;
    }
    if (!rl_event_type_is_known(type))
        return rl_fail(err, RL_E_INVAL, "no event type is called \"%.64s\"", type);
    query->types[filter->type_count++] = rl_strdup(type);
    return RL_OK;
}

static rl_code read_texts(const Pb__SearchRequest *request, struct rl_audit_query *query,
                          struct rl_error *err)
{
    if (request->n_types > RL_AUDIT_SEARCH_TYPES_MAX)
        return rl_fail(err, RL_E_INVAL, "%zu types; at most %d", request->n_types,
                       RL_AUDIT_SEARCH_TYPES_MAX);
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < request->n_types; i++)
        rc = read_type(request->types[i], query, err);
    if (rc == RL_OK)
        rc = check_text("user", request->user, err);
    if (rc == RL_OK)
        rc = check_text("session", request->session_id, err);
    return rc;
}

rl_code rl_audit_query_read(const Pb__SearchRequest *request, struct rl_audit_query *query,
                            struct rl_error *err)
{
    _Static_assert(RL_COUNT(query->types) == RL_AUDIT_SEARCH_TYPES_MAX, "room for every type");
    int64_t to_ns = request->to_ns ? request->to_ns : INT64_MAX;
    if (request->from_ns > to_ns)
        return rl_fail(err, RL_E_INVAL, "the search ends before it begins");
    if (request->follow && request->to_ns)
        return rl_fail(err, RL_E_INVAL, "a search that follows has no end");
    rl_code rc = read_texts(request, query, err);
    if (rc != RL_OK)
        return rc;
    query->user = rl_strdup(request->user);
    query->session_id = rl_strdup(request->session_id);
    query->limit = request->limit ? request->limit : RL_AUDIT_SEARCH_LIMIT;
    query->follow = request->follow;
    query->filter.from_ns = request->from_ns;
    query->filter.to_ns = to_ns;
    query->filter.types = (const char *const *)query->types;
    query->filter.families = (const char *const *)query->families;
    query->filter.user = query->user;
    query->filter.session_id = query->session_id;
    return RL_OK;
}

void rl_audit_query_fini(struct rl_audit_query *query)
{
    for (size_t i = 0; i < RL_COUNT(query->types); i++) {
        free(query->types[i]);
        free(query->families[i]);
    }
    free(query->user);
    free(query->session_id);
    *query = (struct rl_audit_query){0};
}
