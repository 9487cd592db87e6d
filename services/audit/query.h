/* query: a search as it was asked for, checked and copied. Pure.
 */
#ifndef RL_AUDIT_QUERY_H
#define RL_AUDIT_QUERY_H

#include "db/search.h"

#define RL_AUDIT_QUERY_TEXT_BYTES_MAX 256

struct rl_audit_query {
    struct rl_audit_filter filter;  /* borrows the strings below */
    char *types[64], *families[64]; /* RL_AUDIT_SEARCH_TYPES_MAX */
    char *user, *session_id;
    uint32_t limit;
    bool follow;
};

/** Errors: RL_E_INVAL an unknown type, times the wrong way round, a text too long. Owns: by
 * rl_audit_query_fini(), after an error too; `query` is zeroed by the caller. Not to be moved. */
rl_code rl_audit_query_read(const Pb__SearchRequest *request, struct rl_audit_query *query,
                            struct rl_error *err);
void rl_audit_query_fini(struct rl_audit_query *query);

#endif
