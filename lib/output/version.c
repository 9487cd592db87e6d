#include "output/output.h"
#include "output_version.h"

rl_code rl_output_version(FILE *to, enum rl_format format, const char *program,
                          struct rl_error *err)
{
    if (format == RL_FORMAT_TEXT) {
        fprintf(to, "%s %s (%s, %s)\n", program, RL_VERSION, RL_COMMIT, RL_BUILT);
        return RL_OK;
    }
    json_t *version =
        json_pack("{s:s, s:s, s:s}", "version", RL_VERSION, "commit", RL_COMMIT, "built", RL_BUILT);
    rl_code rc = rl_output_value(to, format, version, err);
    json_decref(version);
    return rc;
}
