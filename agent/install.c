/* install: `remoteler install`: the agent as a service of this machine. What is there already and
 * says the same is left alone, so that it can be run again and again.
 */
#include "agent.h"
#include "bytes/buf.h"
#include "file/file.h"
#include "output/output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SERVICE_BYTES_MAX 16384

struct install_settings {
    char *config, *root, *binary;
    bool print;
};

#define AT(field) offsetof(struct install_settings, field)

static const struct rl_setting rows[] = {
    {.name = "config",
     .type = RL_SETTING_FILE,
     .offset = AT(config),
     .help = "the settings that the service starts with; /etc/remoteler.yaml as root"},
    {.name = "binary",
     .type = RL_SETTING_FILE,
     .offset = AT(binary),
     .help = "the program that the service runs; this one unless said"},
    {.name = "root",
     .type = RL_SETTING_FILE,
     .offset = AT(root),
     .fallback = "",
     .help = "write below this directory: the root of an image that is being made"},
    {.name = "print",
     .type = RL_SETTING_SWITCH,
     .offset = AT(print),
     .fallback = "no",
     .help = "print the service's file and write nothing"},
};

const struct rl_settings_spec agent_install_spec = {
    .program = "remoteler install",
    .summary = "make the agent a service of this machine",
    .usage = "[systemd|openrc] [flags]",
    .example = "remoteler configure --proxy=root.example.com:443 --token=@/etc/remoteler.token \\\n"
               "    --ca-pin=sha256:... > /etc/remoteler.yaml && remoteler install systemd",
    .rows = rows,
    .count = RL_COUNT(rows),
    .positional_max = 1,
    .section = 8,
};

/* What a service's file needs to know. */
struct service {
    const char *binary, *config;
    bool is_root;
};

/* ---- the files ---- */

static void write_systemd(const struct service *s, struct rl_buf *out)
{
    rl_buf_printf(
        out,
        "# Written by `remoteler install systemd`; `systemctl edit remoteler` adds to it.\n"
        "[Unit]\n"
        "Description=Remoteler agent\n"
        "Documentation=man:remoteler-start(8)\n"
        "After=network.target\n"
        "# A device that nobody can reach must not stop trying.\n"
        "StartLimitIntervalSec=0\n"
        "\n"
        "[Service]\n"
        "ExecStart=\"%s\" start \"--config=%s\"\n"
        "Restart=always\n"
        "RestartSec=5\n"
        "# A wrong setting does not mend itself.\n"
        "RestartPreventExitStatus=2\n"
        "# The agent tells its sessions why they end.\n"
        "KillMode=mixed\n"
        "TimeoutStopSec=15\n",
        s->binary, s->config);
    if (s->is_root)
        rl_buf_put_text(out, "StateDirectory=remoteler\n"
                             "StateDirectoryMode=0700\n");
    /* No ProtectSystem or the like: the users' sessions would live in it too. */
    rl_buf_printf(out, "\n[Install]\nWantedBy=%s\n",
                  s->is_root ? "multi-user.target" : "default.target");
}

static void write_openrc(const struct service *s, struct rl_buf *out)
{
    rl_buf_printf(out,
                  "#!/sbin/openrc-run\n"
                  "# Written by `remoteler install openrc`; settings are in %s.\n"
                  "name=\"Remoteler agent\"\n"
                  "description=\"Serves this machine to its cluster\"\n"
                  "supervisor=supervise-daemon\n"
                  "command=\"%s\"\n"
                  "command_args=\"start --config=%s\"\n"
                  "# A device that nobody can reach must not stop trying.\n"
                  "respawn_delay=5\n"
                  "respawn_max=0\n"
                  "error_logger=\"logger -t remoteler -p daemon.info\"\n"
                  "retry=\"TERM/15/KILL/5\"\n"
                  "\n"
                  "depend() {\n"
                  "    use net logger\n"
                  "    after firewall\n"
                  "}\n"
                  "\n"
                  "start_pre() {\n"
                  "    checkpath --directory --mode 0700 --owner root:root /var/lib/remoteler\n"
                  "}\n",
                  s->config, s->binary, s->config);
}

/* ---- which one ---- */

struct init_system {
    const char *name;
    const char *sign; /* it runs here when this is there */
    const char *file; /* below the root */
    mode_t mode;
    void (*write)(const struct service *service, struct rl_buf *out);
    const char *next; /* what is left to do */
};

static const struct init_system init_systems[] = {
    {"systemd", "/run/systemd/system", "/etc/systemd/system/remoteler.service", 0644, write_systemd,
     "systemctl daemon-reload && systemctl enable --now remoteler"},
    {"openrc", "/run/openrc", "/etc/init.d/remoteler", 0755, write_openrc,
     "rc-update add remoteler default && rc-service remoteler start"},
};

static rl_code choose_init(const char *name, const struct init_system **out, struct rl_error *err)
{
    for (size_t i = 0; i < RL_COUNT(init_systems); i++) {
        const struct init_system *init = &init_systems[i];
        if (name ? strcmp(name, init->name) == 0 : access(init->sign, F_OK) == 0) {
            *out = init;
            return RL_OK;
        }
    }
    if (name)
        return rl_fail(err, RL_E_INVAL, "systemd and openrc are known, not %.32s", name);
    return rl_fail(err, RL_E_INVAL, "neither systemd nor OpenRC runs here: say which one is meant");
}

/* Where a user's own units lie. */
static rl_code user_unit(const struct init_system *init, char **out, struct rl_error *err)
{
    const char *home = getenv("HOME");
    if (strcmp(init->name, "systemd") != 0)
        return rl_fail(err, RL_E_DENIED, "services of %s are root's to install", init->name);
    if (!home || home[0] != '/')
        return rl_fail(err, RL_E_INVAL, "HOME is not set");
    *out = rl_sprintf("%s/.config/systemd/user/remoteler.service", home);
    return RL_OK;
}

/* ---- writing ---- */

static rl_code make_parents(const char *path, struct rl_error *err)
{
    char *copy = rl_strdup(path);
    rl_code rc = RL_OK;
    for (char *slash = strchr(copy + 1, '/'); slash && rc == RL_OK;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(copy, 0755) != 0 && errno != EEXIST)
            rc = rl_fail_errno(err, RL_E_DENIED, "making %s", copy);
        *slash = '/';
    }
    free(copy);
    return rc;
}

static bool is_there(const char *path, mode_t mode, struct rl_span content)
{
    struct rl_buf now;
    struct stat st;
    rl_buf_init(&now, SERVICE_BYTES_MAX);
    bool same = rl_file_read(path, &now, NULL) == RL_OK &&
                rl_span_equal(rl_buf_span(&now), content) && stat(path, &st) == 0 &&
                (st.st_mode & 07777) == mode;
    rl_buf_fini(&now);
    return same;
}

static rl_code put(const char *path, mode_t mode, struct rl_span content, struct rl_error *err)
{
    if (is_there(path, mode, content)) {
        rl_output_say("%s is there already", path);
        return RL_OK;
    }
    rl_code rc = make_parents(path, err);
    if (rc == RL_OK)
        rc = rl_file_write(path, content, err);
    if (rc == RL_OK && chmod(path, mode) != 0)
        rc = rl_fail_errno(err, RL_E_DENIED, "setting the mode of %s", path);
    if (rc == RL_OK)
        rl_output_say("written: %s", path);
    return rc;
}

/* A unit's quotes and a script's would end early, and either would be another command. */
static rl_code check_path(const char *path, const char *setting, struct rl_error *err)
{
    if (path[0] != '/')
        return rl_fail(err, RL_E_INVAL, "--%s: a service needs the whole path, from /", setting);
    for (const char *c = path; *c; c++)
        if ((unsigned char)*c <= ' ' || strchr("\"'\\$`%", *c))
            return rl_fail(err, RL_E_INVAL, "--%s: no blanks, quotes, $ or %% in a service's path",
                           setting);
    return RL_OK;
}

static rl_code choose_paths(struct install_settings *s, struct rl_error *err)
{
    char self[4096];
    ssize_t n = s->binary ? 0 : readlink("/proc/self/exe", self, sizeof self - 1);
    const char *home = getenv("HOME");
    if (n < 0)
        return rl_fail_errno(err, RL_E_INTERNAL, "finding this program; say --binary");
    if (!s->binary)
        s->binary = rl_sprintf("%.*s", (int)n, self);
    if (!s->config)
        s->config = geteuid() == 0 || !home ? rl_strdup("/etc/remoteler.yaml")
                                            : rl_sprintf("%s/.config/remoteler.yaml", home);
    rl_code rc = check_path(s->binary, "binary", err);
    return rc == RL_OK ? check_path(s->config, "config", err) : rc;
}

static rl_code install(struct install_settings *s, const char *name, struct rl_error *err)
{
    const struct init_system *init = NULL;
    struct rl_buf content;
    char *path = NULL;
    rl_code rc = choose_init(name, &init, err);
    if (rc == RL_OK)
        rc = choose_paths(s, err);
    if (rc != RL_OK)
        return rc;
    const struct service service = {s->binary, s->config, geteuid() == 0};
    rl_buf_init(&content, SERVICE_BYTES_MAX);
    init->write(&service, &content);
    if (content.failed)
        rc = rl_fail(err, RL_E_INVAL, "the paths are too long");
    else if (s->print)
        fwrite(content.p, 1, content.n, stdout);
    else if (service.is_root)
        path = rl_sprintf("%s%s", s->root, init->file);
    else
        rc = user_unit(init, &path, err);
    if (rc == RL_OK && path)
        rc = put(path, init->mode, rl_buf_span(&content), err);
    if (rc == RL_OK && path && access(s->config, R_OK) != 0)
        rl_output_say("next: remoteler configure --proxy=... --token=... > %s", s->config);
    if (rc == RL_OK && path)
        rl_output_say("next: %s", init->next);
    free(path);
    rl_buf_fini(&content);
    return rc;
}

int agent_install(int argc, char **argv)
{
    struct install_settings s = {0};
    struct rl_positionals rest = {0};
    struct rl_error err;
    rl_code rc = rl_settings_read(&agent_install_spec, argc, argv, &s, &rest, &err);
    if (rc != RL_OK) {
        rl_settings_free(&agent_install_spec, &s);
        return rl_output_usage("remoteler", rc, &err);
    }
    rc = install(&s, rest.count ? rest.items[0] : NULL, &err);
    rl_settings_free(&agent_install_spec, &s);
    if (rc == RL_OK)
        return RL_EXIT_DONE;
    rl_output_say("remoteler: %s", err.message);
    return RL_EXIT_FAILED;
}
