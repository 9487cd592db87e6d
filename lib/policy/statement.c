/* statement: auth's word of the minute, as the agent hears it. */
#include "policy/internal.h"

#include <string.h>

rl_code rl_statement_verify(const Pb__SignedStatement *signed_statement, const char *cluster,
                            struct rl_policy_keys keys, Pb__Statement **out, struct rl_error *err)
{
    rl_code code = policy_verify(keys, signed_statement->key_id, POLICY_STATEMENT_CONTEXT,
                                 &signed_statement->statement, &signed_statement->signature, err);
    if (code != RL_OK)
        return code;
    Pb__Statement *statement = pb__statement__unpack(NULL, signed_statement->statement.len,
                                                     signed_statement->statement.data);
    if (!statement)
        return rl_fail(err, RL_E_INVAL, "the statement can not be read");
    if (strcmp(statement->cluster, cluster) != 0) {
        pb__statement__free_unpacked(statement, NULL);
        return rl_fail(err, RL_E_DENIED, "the statement is another cluster's");
    }
    *out = statement;
    return RL_OK;
}
