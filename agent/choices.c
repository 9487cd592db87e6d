/* choices: the settings that depend on each other and on the machine. */
#include "agent.h"
#include "bytes/secret.h"
#include "file/file.h"
#include "names/names.h"
#include "resource/resource.h"
#include "sshd/confine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_BYTES_MAX 4096
#define LISTEN_DEFAULT "0.0.0.0:3022"

rl_code agent_data_dir(char **out, struct rl_error *err)
{
    const char *home = getenv("HOME");
    if (geteuid() == 0)
        *out = rl_strdup("/var/lib/remoteler");
    else if (home && home[0] == '/')
        *out = rl_sprintf("%s/.local/state/remoteler", home);
    else
        return rl_fail(err, RL_E_INVAL, "HOME is not set; say --data-dir");
    return RL_OK;
}

char *agent_run_dir(void)
{
    const char *own = getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0)
        return rl_strdup("/run/remoteler");
    return own && own[0] == '/' ? rl_sprintf("%s/remoteler", own)
                                : rl_sprintf("/tmp/remoteler-%u", (unsigned)geteuid());
}

static rl_code choose_state(struct agent *agent, struct rl_error *err)
{
    struct agent_settings *s = &agent->settings;
    agent->in_memory = strcmp(s->state, "memory") == 0;
    if (!agent->in_memory && strcmp(s->state, "disk") != 0)
        return rl_fail(err, RL_E_INVAL, "--state is disk or memory, not %.32s", s->state);
    if (s->data_dir)
        return RL_OK;
    if (!agent->in_memory)
        return agent_data_dir(&s->data_dir, err);
    s->data_dir = agent_run_dir();
    return RL_OK;
}

/* As curl has it, and many who set them: in small letters too. */
static const char *or_environment(const char *setting, const char *name)
{
    return setting ? setting : getenv(name);
}

static rl_code choose_http_proxy(struct agent *agent, struct rl_error *err)
{
    struct agent_settings *s = &agent->settings;
    const char *url = or_environment(s->https_proxy, "https_proxy");
    rl_code rc = RL_OK;
    if (url && *url)
        rc = rl_http_proxy_create(url, or_environment(s->no_proxy, "no_proxy"), &agent->http_proxy,
                                  err);
    rl_wipe_text(&s->https_proxy); /* sessions are forked: they shall not have its password */
    return rc == RL_OK ? RL_OK : rl_error_prefix(err, "--https-proxy (HTTPS_PROXY)");
}

static rl_code choose_name(struct agent *agent, struct rl_error *err)
{
    struct agent_settings *s = &agent->settings;
    if (gethostname(agent->hostname, sizeof agent->hostname - 1) != 0)
        return rl_fail_errno(err, RL_E_INTERNAL, "the host has no name");
    if (!s->nodename) {
        s->nodename = rl_strdup(agent->hostname);
        s->nodename[strcspn(s->nodename, ".")] = '\0';
        for (char *c = s->nodename; *c; c++)
            if (*c >= 'A' && *c <= 'Z')
                *c = (char)(*c - 'A' + 'a');
    }
    if (rl_name_check_node(s->nodename, err) != RL_OK)
        return rl_error_prefix(err, "--nodename");
    return RL_OK;
}

/* Nobody can dial 0.0.0.0: then it is the host's name that the proxy is told. */
static rl_code choose_advertised(struct agent *agent, struct rl_error *err)
{
    struct agent_settings *s = &agent->settings;
    char *host = NULL;
    uint16_t port = 0;
    rl_code rc = rl_address_split(s->listen, &host, &port, err);
    if (rc != RL_OK)
        return rl_error_prefix(err, "--listen");
    bool is_wildcard = strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
    s->advertise = is_wildcard ? rl_sprintf("%s:%u", agent->hostname, port) : rl_strdup(s->listen);
    free(host);
    return RL_OK;
}

static rl_code choose_mode(struct agent *agent, struct rl_error *err)
{
    struct agent_settings *s = &agent->settings;
    if (s->proxy && s->auth_server)
        return rl_fail(err, RL_E_INVAL,
                       "--proxy and --auth-server exclude each other: by a tunnel, or directly?");
    if (!s->proxy && !s->auth_server)
        return rl_fail(err, RL_E_INVAL,
                       "say --proxy=HOST:PORT, or --auth-server=HOST:PORT for a "
                       "node that the proxy can reach by itself");
    agent->is_direct = s->auth_server != NULL;
    if (!agent->is_direct && (s->listen || s->advertise))
        return rl_fail(err, RL_E_INVAL,
                       "--listen and --advertise are for --auth-server: a tunnelled agent listens "
                       "nowhere");
    if (agent->is_direct && !s->listen)
        s->listen = rl_strdup(LISTEN_DEFAULT);
    return agent->is_direct && !s->advertise ? choose_advertised(agent, err) : RL_OK;
}

static rl_code check_roles(const struct agent_settings *s, struct rl_error *err)
{
    for (size_t i = 0; i < s->roles.count; i++)
        if (strcmp(s->roles.items[i], "node") != 0)
            return rl_fail(err, RL_E_INVAL, "--roles: this version serves node, not %s",
                           s->roles.items[i]);
    return RL_OK;
}

static rl_code read_labels(struct agent *agent, struct rl_error *err)
{
    const struct rl_text_list *list = &agent->settings.labels;
    rl_code rc =
        rl_labels_parse_list(list->items, list->count, &agent->labels, &agent->label_count, err);
    return rc == RL_OK ? RL_OK : rl_error_prefix(err, "--labels");
}

rl_code agent_choose(struct agent *agent, struct rl_error *err)
{
    rl_code rc = check_roles(&agent->settings, err);
    if (rc == RL_OK && (rc = choose_name(agent, err)) == RL_OK &&
        (rc = choose_mode(agent, err)) == RL_OK)
        rc = read_labels(agent, err);
    if (rc == RL_OK)
        rc = choose_state(agent, err);
    if (rc == RL_OK)
        rc = choose_http_proxy(agent, err);
    if (rc == RL_OK && agent->settings.seccomp && !rl_confine_has_seccomp())
        rc = rl_fail(err, RL_E_PRECONDITION,
                     "this kernel has no seccomp filter for what faces the network; --no-seccomp "
                     "goes without (own user id, empty root and limits stay)");
    return rc;
}

rl_code agent_read_token(const char *setting, char **out, struct rl_error *err)
{
    struct rl_secret *secret = NULL;
    if (!setting)
        return rl_fail(err, RL_E_INVAL,
                       "this agent has not joined yet: say --token (`tctl tokens add` makes one)");
    bool is_file = setting[0] == '@' || strcmp(setting, "-") == 0;
    if (!is_file) {
        *out = rl_strdup(setting);
        return RL_OK;
    }
    const char *path = setting[0] == '@' ? setting + 1 : setting;
    rl_code rc = rl_file_read_secret(path, TOKEN_BYTES_MAX, &secret, err);
    if (rc != RL_OK)
        return rl_error_prefix(err, "--token");
    char *text = rl_secret_to_text(secret);
    rl_secret_free(&secret);
    text[strcspn(text, "\r\n")] = '\0';
    if (!text[0]) {
        rl_wipe_text(&text);
        return rl_fail(err, RL_E_INVAL, "--token: %s is empty", setting);
    }
    *out = text;
    return RL_OK;
}
