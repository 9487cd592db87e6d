#include "certificates.h"

#include "clock/clock.h"
#include "file/file.h"
#include "identity/identity.h"
#include "names/names.h"
#include "output/value.h"
#include "resource/resource.h"
#include "sshcert/sshkey.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

rl_code tsh_keys_make(struct tsh_keys *keys, struct rl_error *err)
{
    *keys = (struct tsh_keys){0};
    rl_buf_init(&keys->tls_public, 1024);
    rl_buf_init(&keys->ssh_public, 1024);
    rl_code rc = rl_key_generate_p256(&keys->tls, err);
    if (rc == RL_OK && (rc = rl_sshkey_generate(&keys->ssh, err)) == RL_OK &&
        (rc = rl_key_to_spki(keys->tls, &keys->tls_public, err)) == RL_OK)
        rc = rl_sshkey_public_blob(keys->ssh, &keys->ssh_public, err);
    if (rc != RL_OK)
        tsh_keys_fini(keys);
    return rc;
}

void tsh_keys_fini(struct tsh_keys *keys)
{
    EVP_PKEY_free(keys->tls);
    EVP_PKEY_free(keys->ssh);
    rl_buf_fini(&keys->tls_public);
    rl_buf_fini(&keys->ssh_public);
    keys->tls = keys->ssh = NULL;
}

static rl_code save(const struct tsh_profile *profile, const char *name, struct rl_buf *content,
                    struct rl_error *err)
{
    char *path = tsh_profile_path(profile, name);
    rl_code rc = content->failed ? rl_fail(err, RL_E_INVAL, "%s is too big", name)
                                 : rl_file_write(path, rl_buf_span(content), err);
    free(path);
    rl_buf_clear(content);
    return rc;
}

static rl_code put_chain(const Pb__LoginResponse *login, struct rl_buf *out, struct rl_error *err)
{
    rl_code rc = RL_OK;
    for (size_t i = 0; rc == RL_OK && i < login->n_tls_chain; i++) {
        X509 *certificate = NULL;
        rc = rl_x509_from_der(RL_SPAN(login->tls_chain[i].data, login->tls_chain[i].len),
                              &certificate, err);
        if (rc == RL_OK)
            rc = rl_x509_to_pem(certificate, out, err);
        X509_free(certificate);
    }
    return rc;
}

static void put_line(struct rl_span blob, const char *comment, struct rl_buf *out)
{
    char *line = rl_sshkey_line_format(blob, comment);
    if (line)
        rl_buf_printf(out, "%s\n", line);
    else
        out->failed = true;
    free(line);
}

/* The object of `tsh status`. */
static json_t *status_of(const Pb__LoginResponse *login, const char *proxy)
{
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "user",
                     rl_json_text(login->user), "proxy", rl_json_text(proxy), "cluster",
                     rl_json_text(login->cluster), "roles",
                     rl_json_texts(login->roles, login->n_roles), "logins",
                     rl_json_texts(login->logins, login->n_logins), "traits",
                     rl_traits_to_json(login->traits, login->n_traits), "valid_until",
                     rl_json_time_or_null(login->valid_until_ns), "ssh_valid_until",
                     rl_json_time_or_null(login->ssh_valid_until_ns), "ca_pin",
                     rl_json_text(login->trust->ca_pin), "mfa", rl_json_text_or_null(login->mfa));
}

/* What goes into files that OpenSSH reads. With --insecure anybody may have answered, and a cluster
 * called "x\nProxyCommand ..." would run here. */
static rl_code check_names(const Pb__LoginResponse *login, struct rl_error *err)
{
    if (!login->trust || strcmp(login->trust->cluster, login->cluster) != 0)
        return rl_fail(err, RL_E_INTERNAL, "auth's answer has no trust for its cluster in it");
    if (rl_name_check_cluster(login->cluster, err) != RL_OK ||
        rl_name_check_user(login->user, err) != RL_OK)
        return rl_error_prefix(err, "auth's answer");
    return RL_OK;
}

static rl_code save_ssh(const struct tsh_keys *keys, const Pb__LoginResponse *login,
                        struct tsh_profile *profile, struct rl_buf *text, struct rl_error *err)
{
    rl_code rc = rl_sshkey_private_format(keys->ssh, login->user, text, err);
    if (rc == RL_OK)
        rc = save(profile, "id", text, err);
    if (rc == RL_OK) {
        put_line(rl_buf_span(&keys->ssh_public), login->user, text);
        rc = save(profile, "id.pub", text, err);
    }
    if (rc == RL_OK) {
        put_line(RL_SPAN(login->ssh_certificate.data, login->ssh_certificate.len), login->user,
                 text);
        rc = save(profile, "id-cert.pub", text, err);
    }
    return rc;
}

rl_code tsh_keys_save(const struct tsh_keys *keys, const Pb__LoginResponse *login,
                      const char *proxy, struct tsh_profile *profile, struct rl_error *err)
{
    struct rl_buf text;
    rl_buf_init(&text, TSH_FILE_BYTES_MAX);
    rl_code rc = check_names(login, err);
    if (rc == RL_OK && (rc = rl_key_to_pem(keys->tls, &text, err)) == RL_OK)
        rc = save(profile, "tls.key", &text, err);
    if (rc == RL_OK && (rc = put_chain(login, &text, err)) == RL_OK)
        rc = save(profile, "tls.pem", &text, err);
    if (rc == RL_OK)
        rc = save_ssh(keys, login, profile, &text, err);
    if (rc == RL_OK) {
        json_t *status = status_of(login, proxy);
        rc = tsh_profile_save(profile, status, login->trust, err);
        json_decref(status);
    }
    rl_buf_fini(&text);
    return rc;
}

/* ---- ssh-agent ---- */

static void run_quietly(char *const argv[])
{
    posix_spawn_file_actions_t quiet;
    pid_t pid;
    posix_spawn_file_actions_init(&quiet);
    posix_spawn_file_actions_addopen(&quiet, STDIN_FILENO, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&quiet, STDIN_FILENO, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&quiet, STDIN_FILENO, STDERR_FILENO);
    if (posix_spawnp(&pid, argv[0], &quiet, NULL, argv, environ) == 0)
        waitpid(pid, NULL, 0);
    posix_spawn_file_actions_destroy(&quiet);
}

static bool has_agent(void)
{
    const char *socket = getenv("SSH_AUTH_SOCK");
    return socket && socket[0];
}

void tsh_agent_add(const struct tsh_profile *profile, int64_t valid_until_ns)
{
    int64_t lifetime_s = (valid_until_ns - rl_clock_wall_ns()) / 1000000000;
    if (!has_agent() || lifetime_s <= 0)
        return;
    char program[] = "ssh-add", quiet[] = "-q", flag[] = "-t";
    char *lifetime = rl_sprintf("%lld", (long long)lifetime_s);
    char *key = tsh_profile_path(profile, "id");
    char *argv[] = {program, quiet, flag, lifetime, key, NULL};
    run_quietly(argv);
    free(lifetime);
    free(key);
}

void tsh_agent_remove(const struct tsh_profile *profile)
{
    if (!has_agent())
        return;
    char program[] = "ssh-add", quiet[] = "-q", flag[] = "-d";
    char *key = tsh_profile_path(profile, "id");
    char *argv[] = {program, quiet, flag, key, NULL};
    run_quietly(argv);
    free(key);
}
