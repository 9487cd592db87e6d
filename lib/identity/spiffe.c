/* spiffe: spiffe://CLUSTER/user/NAME, /agent/UUID, /service/KIND/UUID and nothing else: no empty
 * segments, no percent-encoding, no port, no query. */
#include "identity/spiffe.h"

#include "names/names.h"

#include <stdlib.h>
#include <string.h>

#define SCHEME "spiffe://"
#define URI_BYTES_MAX 512

static const char *const service_kinds[] = {"auth", "proxy", "broker", "audit"};

const char *rl_spiffe_kind_name(enum rl_identity_kind kind)
{
    switch (kind) {
    case RL_IDENTITY_SERVICE:
        return "service";
    case RL_IDENTITY_AGENT:
        return "agent";
    case RL_IDENTITY_USER:
        return "user";
    }
    return "unknown";
}

const char *rl_spiffe_authority_name(enum rl_identity_kind kind)
{
    return kind == RL_IDENTITY_AGENT ? "host" : rl_spiffe_kind_name(kind);
}

static bool is_service_kind(const char *text)
{
    for (size_t i = 0; i < RL_COUNT(service_kinds); i++)
        if (strcmp(text, service_kinds[i]) == 0)
            return true;
    return false;
}

static rl_code check_parts(const struct rl_spiffe *id, struct rl_error *err)
{
    if (rl_name_check_cluster(id->cluster, err) != RL_OK)
        return rl_error_prefix(err, "the certificate's cluster");
    if (id->kind == RL_IDENTITY_USER)
        return rl_name_check_user(id->name, err);
    if (id->kind == RL_IDENTITY_SERVICE && !is_service_kind(id->service))
        return rl_fail(err, RL_E_INVAL, "there is no such service kind");
    if (!rl_name_is_uuid(id->name))
        return rl_fail(err, RL_E_INVAL, "the name of an agent or service must be a UUID");
    return RL_OK;
}

/* Cuts the text before the next '/', or all of it; false when it is empty or does not fit. */
static bool take_segment(const char **rest, char *out, size_t out_bytes)
{
    size_t n = strcspn(*rest, "/");
    if (n == 0 || n >= out_bytes)
        return false;
    memcpy(out, *rest, n);
    out[n] = '\0';
    *rest += n;
    if (**rest == '/')
        (*rest)++;
    return true;
}

static bool take_kind(const char **rest, struct rl_spiffe *id)
{
    char word[RL_SPIFFE_SERVICE_BYTES];
    if (!take_segment(rest, word, sizeof word))
        return false;
    if (strcmp(word, "user") == 0)
        id->kind = RL_IDENTITY_USER;
    else if (strcmp(word, "agent") == 0)
        id->kind = RL_IDENTITY_AGENT;
    else if (strcmp(word, "service") == 0)
        id->kind = RL_IDENTITY_SERVICE;
    else
        return false;
    return id->kind != RL_IDENTITY_SERVICE || take_segment(rest, id->service, sizeof id->service);
}

rl_code rl_spiffe_parse(struct rl_span uri, struct rl_spiffe *out, struct rl_error *err)
{
    struct rl_spiffe id = {0};
    char text[URI_BYTES_MAX];
    if (uri.n >= sizeof text || uri.n <= strlen(SCHEME) || memchr(uri.p, 0, uri.n) ||
        uri.p[uri.n - 1] == '/' || memcmp(uri.p, SCHEME, strlen(SCHEME)) != 0)
        return rl_fail(err, RL_E_INVAL, "the certificate's URI is no SPIFFE name");
    memcpy(text, uri.p, uri.n);
    text[uri.n] = '\0';
    const char *rest = text + strlen(SCHEME);
    if (!take_segment(&rest, id.cluster, sizeof id.cluster) || !take_kind(&rest, &id) ||
        !take_segment(&rest, id.name, sizeof id.name) || *rest)
        return rl_fail(err, RL_E_INVAL, "the certificate's URI names no user, agent or service");
    if (check_parts(&id, err) != RL_OK)
        return RL_E_INVAL;
    *out = id;
    return RL_OK;
}

rl_code rl_spiffe_format(enum rl_identity_kind kind, const char *cluster, const char *service,
                         const char *name, char **out, struct rl_error *err)
{
    char *uri = kind == RL_IDENTITY_SERVICE
                    ? rl_sprintf(SCHEME "%s/service/%s/%s", cluster, service ? service : "", name)
                    : rl_sprintf(SCHEME "%s/%s/%s", cluster, rl_spiffe_kind_name(kind), name);
    struct rl_spiffe id;
    rl_code code = rl_spiffe_parse(rl_span_of(uri), &id, err);
    if (code == RL_OK)
        *out = uri;
    else
        free(uri);
    return code;
}
