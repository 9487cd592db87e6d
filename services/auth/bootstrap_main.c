/* bootstrap_main: the command, and what it prints. */
#include "bootstrap.h"

#include "log/log.h"
#include "output/output.h"

#include <stdio.h>

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static rl_code print(const struct rl_auth *auth, const struct rl_bootstrap_result *result,
                     enum rl_format format, struct rl_error *err)
{
    static const struct rl_column columns[] = {
        {"Cluster", "cluster"},
        {"CA pin", "ca_pin"},
        {"Key file", "key_file"},
        {"Identity file", "identity_file"},
        {"Service tokens", "service_tokens"},
    };
    struct rl_snapshot *snapshot = NULL;
    rl_code rc = rl_snapshots_current(auth->snapshots, &snapshot, err);
    if (rc != RL_OK)
        return rc;
    const struct rl_auth_settings *s = auth->settings;
    json_t *object = json_object();
    json_object_set_new(object, "cluster", json_string(auth->cluster));
    json_object_set_new(object, "created", json_boolean(result->created));
    json_object_set_new(object, "ca_pin", json_string(snapshot->authorities->ca_pin));
    json_object_set_new(object, "key_file", json_string(s->key_file));
    json_object_set_new(object, "identity_file", text_or_null(s->identity_out));
    json_object_set_new(object, "service_tokens", text_or_null(s->service_tokens_out));
    rc = rl_output_object(stdout, format, object, columns, RL_COUNT(columns), err);
    json_decref(object);
    rl_snapshot_unref(&snapshot);
    return rc;
}

static void say(const struct rl_auth *auth, const struct rl_bootstrap_result *result)
{
    if (result->created)
        fprintf(stderr, "made the cluster %s\n", auth->cluster);
    else if (result->identity_written || result->tokens_written)
        fprintf(stderr, "the cluster %s was there already; wrote the files that were missing\n",
                auth->cluster);
    else
        fprintf(stderr, "the cluster %s was there already; nothing was changed\n", auth->cluster);
}

static rl_code work(const struct rl_auth_settings *settings, struct rl_error *err)
{
    enum rl_format format;
    enum rl_log_level level;
    struct rl_bootstrap_result result;
    struct rl_auth *auth = NULL;
    rl_code rc = rl_format_parse(settings->format, &format, err);
    if (rc == RL_OK)
        rc = rl_log_level_parse(settings->log_level, &level, err);
    if (rc != RL_OK)
        return rc;
    rl_log_setup("remoteler-auth", level, true);
    rc = rl_auth_open(settings, &auth, err);
    if (rc == RL_OK)
        rc = rl_bootstrap(auth, &result, err);
    if (rc == RL_OK) {
        say(auth, &result);
        rc = print(auth, &result, format, err);
    }
    rl_auth_close(&auth);
    return rc;
}

int rl_bootstrap_main(int argc, char **argv)
{
    struct rl_auth_settings settings = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    rl_code rc = rl_settings_read(&rl_auth_bootstrap_settings, argc, argv, &settings, &rest, &err);
    if (rc == RL_E_CANCELLED)
        return RL_EXIT_DONE;
    if (rc != RL_OK) {
        fprintf(stderr, "remoteler-auth bootstrap: %s\n", err.message);
        return RL_EXIT_USAGE;
    }
    rc = work(&settings, &err);
    if (rc != RL_OK)
        fprintf(stderr, "remoteler-auth bootstrap: %s\n", err.message);
    rl_settings_free(&rl_auth_bootstrap_settings, &settings);
    return rc == RL_OK ? RL_EXIT_DONE : RL_EXIT_FAILED;
}
