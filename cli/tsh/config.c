/* config: what tsh tells OpenSSH, printed: for those who keep their own ~/.ssh/config. */
#include "file/file.h"
#include "sshconfig.h"
#include "tsh.h"

#include <stdio.h>
#include <stdlib.h>

struct config_settings {
    char *cluster;
};

static const struct rl_setting rows[] = {
    {.name = "cluster",
     .type = RL_SETTING_TEXT,
     .offset = offsetof(struct config_settings, cluster),
     .help = "only the block of this one"},
};

const struct rl_settings_spec tsh_config_spec = {
    .program = "tsh config",
    .summary = "the OpenSSH configuration for your nodes",
    .usage = "[--cluster=C]",
    .example = "tsh config >> ~/.ssh/config",
    .rows = rows,
    .count = RL_COUNT(rows),
};

static rl_code print(const struct config_settings *s, struct rl_error *err)
{
    struct tsh_profile profile = {0};
    struct rl_buf text;
    rl_buf_init(&text, 8u << 20);
    rl_code rc = tsh_profile_open(NULL, &profile, err);
    if (rc == RL_OK && s->cluster) {
        rc = tsh_sshconfig_of_cluster(&profile, s->cluster, &text, err);
    } else if (rc == RL_OK && (rc = tsh_sshconfig_write(profile.home, err)) == RL_OK) {
        char *path = rl_sprintf("%s/ssh_config", profile.home);
        rc = rl_file_read(path, &text, err);
        free(path);
    }
    if (rc == RL_OK)
        fwrite(text.p, 1, text.n, stdout);
    rl_buf_fini(&text);
    tsh_profile_fini(&profile);
    return rc;
}

int tsh_config(int argc, char **argv)
{
    struct config_settings s = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    rl_code rc = rl_settings_read(&tsh_config_spec, argc, argv, &s, &rest, &err);
    int code = rc == RL_OK ? RL_EXIT_DONE : tsh_usage(rc, &err);
    if (rc == RL_OK && print(&s, &err) != RL_OK)
        code = tsh_fail(&err);
    rl_settings_free(&tsh_config_spec, &s);
    return code;
}
