#include "fleet/redeem.h"

#include "authz/authz.h"
#include "clock/clock.h"
#include "credential/token.h"

#include <string.h>

rl_code rl_redeem_find(struct rl_db *db, const char *secret, Pb__Token **out, struct rl_error *err)
{
    uint8_t hash[RL_TOKEN_HASH_BYTES];
    rl_code rc = rl_token_hash(secret, hash, err);
    if (rc == RL_OK)
        rc = rl_tokens_find(db, RL_SPAN(hash, sizeof hash), out, err);
    if (rc == RL_E_NOT_FOUND || rc == RL_E_INVAL)
        return rl_fail(err, RL_E_DENIED,
                       "join token unknown; ask for a new one with `tctl tokens add`");
    return rc;
}

rl_code rl_redeem_check_term(const Pb__Token *token, bool is_again, int64_t now_ns,
                             struct rl_error *err)
{
    if (token->metadata->expires_ns <= now_ns) {
        char ago[RL_CLOCK_TEXT_BYTES];
        rl_duration_words((uint64_t)(now_ns - token->metadata->expires_ns) / 1000000000, ago);
        return rl_fail(err, RL_E_DENIED,
                       "join token expired %s ago; ask for a new one with `tctl tokens add`", ago);
    }
    if (token->spec->uses_left == 0 && !is_again)
        return rl_fail(err, RL_E_DENIED,
                       "join token used up; ask for a new one with `tctl tokens add`");
    return RL_OK;
}

static rl_code refuse_type(const Pb__Token *token, const char *type, struct rl_error *err)
{
    struct rl_buf types;
    rl_buf_init(&types, RL_ERROR_MESSAGE_BYTES);
    for (size_t i = 0; i < token->spec->n_types; i++)
        rl_buf_printf(&types, "%s%s", i ? ", " : "", token->spec->types[i]);
    rl_fail(err, RL_E_DENIED, "this join token is for %s, not for %s", rl_buf_text(&types), type);
    rl_buf_fini(&types);
    return RL_E_DENIED;
}

rl_code rl_redeem_check_type(const Pb__Token *token, const char *type, struct rl_error *err)
{
    for (size_t i = 0; i < token->spec->n_types; i++)
        if (strcmp(token->spec->types[i], type) == 0)
            return RL_OK;
    return refuse_type(token, type, err);
}

rl_code rl_redeem_check_name(const Pb__Token *token, const char *name, struct rl_error *err)
{
    if (!*name || token->spec->n_names == 0)
        return RL_OK;
    for (size_t i = 0; i < token->spec->n_names; i++)
        if (rl_pattern_match(token->spec->names[i], name, NULL) == RL_OK)
            return RL_OK;
    return rl_fail(err, RL_E_DENIED, "this join token does not allow the name %s", name);
}
