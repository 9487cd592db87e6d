/* sshconfig: OpenSSH reads this file with a shell's help, so nothing unchecked goes into it: names
 * pass lib/names, paths are quoted, and a path that cannot be quoted is refused.
 */
#include "sshconfig.h"
#include "file/file.h"
#include "leaves.h"

#include "clock/clock.h"
#include "names/names.h"
#include "sshcert/sshkey.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_BYTES_MAX (8u << 20)
#define NODE_BYTES 64 /* of one, about: its id and a name */

static void put_line(struct rl_buf *to, const char *name)
{
    rl_buf_put_text(to, name);
    rl_buf_put_u8(to, '\n');
}

/* One that is the same still counts as listed anew. */
rl_code tsh_sshconfig_keep_nodes(const struct tsh_profile *profile, const struct tsh_nodes *nodes,
                                 struct rl_error *err)
{
    struct rl_buf list;
    rl_buf_init(&list, CONFIG_BYTES_MAX);
    if (nodes->count < CONFIG_BYTES_MAX / NODE_BYTES)
        (void)rl_buf_reserve(&list, nodes->count * NODE_BYTES);
    for (size_t i = 0; i < nodes->count; i++) {
        if (rl_name_check_node(nodes->items[i].name, NULL) == RL_OK)
            put_line(&list, nodes->items[i].name);
        if (rl_name_is_uuid(nodes->items[i].id))
            put_line(&list, nodes->items[i].id);
    }
    char *path = tsh_profile_path(profile, "nodes");
    rl_code rc = list.failed ? rl_fail(err, RL_E_EXHAUSTED, "too many nodes for one ssh_config")
                             : rl_file_update(path, rl_buf_span(&list), err);
    free(path);
    rl_buf_fini(&list);
    if (rc == RL_OK)
        tsh_sshconfig_claim(profile);
    return rc;
}

int64_t tsh_sshconfig_age_s(const struct tsh_profile *profile)
{
    struct stat st;
    char *path = tsh_profile_path(profile, "nodes");
    int64_t age = stat(path, &st) == 0 ? rl_clock_wall_s() - (int64_t)st.st_mtime : INT64_MAX;
    free(path);
    return age;
}

void tsh_sshconfig_claim(const struct tsh_profile *profile)
{
    char *path = tsh_profile_path(profile, "nodes");
    (void)utimensat(AT_FDCWD, path, NULL, 0); /* never listed: then nobody is told */
    free(path);
}

/* ---- the file ---- */

/* OpenSSH has no escape for a double quote, and % and $ begin its own substitutions. */
rl_code tsh_sshconfig_check_path(const char *path, struct rl_error *err)
{
    for (const char *c = path; *c; c++)
        if (*c == '"' || *c == '\\' || *c == '%' || *c == '$' || *c == '\'' || *c == '`' ||
            (unsigned char)*c < ' ')
            return rl_fail(err, RL_E_INVAL,
                           "OpenSSH can not be told of a path with a quote, backslash, %% or $ in "
                           "it: %s",
                           path);
    return RL_OK;
}

static rl_code own_path(char out[PATH_MAX], struct rl_error *err)
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    if (n <= 0)
        return rl_fail_errno(err, RL_E_INTERNAL, "where is this program?");
    out[n] = '\0';
    /* A newer version was installed while this one runs: it has the name now. */
    static const char gone[] = " (deleted)";
    size_t suffix = sizeof gone - 1;
    if ((size_t)n > suffix && strcmp(out + n - suffix, gone) == 0)
        out[(size_t)n - suffix] = '\0';
    return tsh_sshconfig_check_path(out, err);
}

/* What one profile's files say, and of which clusters: its own first. */
struct hosts {
    const struct tsh_profile *profile;
    Pb__ListClustersResponse *leaves;
    struct rl_buf names; /* of the profile's own nodes: checked, each with a newline behind it */
};

static const char *cluster_at(const struct hosts *h, size_t i)
{
    return i == 0 ? tsh_profile_text(h->profile, "cluster") : h->leaves->clusters[i - 1]->name;
}

static size_t cluster_count(const struct hosts *h)
{
    return h->leaves->n_clusters + 1;
}

static bool ends_with_label(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n > m && name[n - m - 1] == '.' && strcmp(name + n - m, end) == 0;
}

/* "*.CLUSTER", without the names of a cluster that is called x.CLUSTER: a * takes dots too. */
static void put_pattern(const struct hosts *h, const char *cluster, struct rl_buf *out)
{
    rl_buf_printf(out, "*.%s", cluster);
    for (size_t i = 0; i < cluster_count(h); i++)
        if (ends_with_label(cluster_at(h, i), cluster))
            rl_buf_printf(out, ",!*.%s", cluster_at(h, i));
}

static rl_code read_nodes(struct hosts *h, struct rl_error *err)
{
    struct rl_buf list;
    rl_buf_init(&list, CONFIG_BYTES_MAX);
    rl_buf_init(&h->names, CONFIG_BYTES_MAX);
    char *path = tsh_profile_path(h->profile, "nodes");
    rl_code rc = rl_file_read(path, &list, err);
    free(path);
    if (rc == RL_E_NOT_FOUND)
        rc = RL_OK;
    (void)rl_buf_reserve(&h->names, list.n);
    (void)rl_buf_text(&list); /* with a NUL behind the last one */
    char *save = NULL;
    for (char *name = strtok_r((char *)list.p, "\n", &save); name;
         name = strtok_r(NULL, "\n", &save))
        if (rl_name_check_node(name, NULL) == RL_OK || rl_name_is_uuid(name))
            put_line(&h->names, name);
    rl_buf_fini(&list);
    return rc;
}

/* The profile's own nodes, each with `separator` behind it. */
static void put_nodes(const struct hosts *h, char separator, struct rl_buf *out)
{
    size_t from = out->n;
    if (!rl_buf_put_span(out, rl_buf_span(&h->names)))
        return;
    for (uint8_t *at = out->p + from, *end = out->p + out->n;
         at < end && (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        *at = (uint8_t)separator;
}

/* ---- whose host keys are believed ---- */

/* For the names of the authority's own cluster only. A key of a kind that this version does not
 * know is left out: nobody is believed for it. */
static void put_authority(const struct hosts *h, const char *cluster,
                          const ProtobufCBinaryData *blob, struct rl_buf *out)
{
    EVP_PKEY *key = NULL;
    if (rl_sshkey_public_parse(RL_SPAN(blob->data, blob->len), &key, NULL) != RL_OK)
        return;
    EVP_PKEY_free(key);
    char *line = rl_sshkey_line_format(RL_SPAN(blob->data, blob->len), NULL);
    rl_buf_put_text(out, "@cert-authority ");
    if (cluster == cluster_at(h, 0))
        put_nodes(h, ',', out);
    put_pattern(h, cluster, out);
    rl_buf_printf(out, " %s\n", line);
    free(line);
}

static void put_authorities(const struct hosts *h, const char *cluster,
                            const Pb__TrustBundle *trust, struct rl_buf *out)
{
    for (size_t i = 0; i < trust->n_host_ssh_cas; i++)
        put_authority(h, cluster, &trust->host_ssh_cas[i], out);
}

static rl_code put_known_hosts(const struct hosts *h, struct rl_error *err)
{
    Pb__TrustBundle *trust = NULL;
    struct rl_buf out;
    rl_buf_init(&out, CONFIG_BYTES_MAX);
    rl_code rc = tsh_profile_trust(h->profile, &trust, err);
    if (rc == RL_OK)
        put_authorities(h, cluster_at(h, 0), trust, &out);
    for (size_t i = 1; rc == RL_OK && i < cluster_count(h); i++)
        put_authorities(h, cluster_at(h, i), h->leaves->clusters[i - 1]->trust, &out);
    if (rc == RL_OK && out.failed)
        rc = rl_fail(err, RL_E_EXHAUSTED, "too many nodes for one known_hosts");
    if (rc == RL_OK) {
        char *path = tsh_profile_path(h->profile, "known_hosts");
        rc = rl_file_update(path, rl_buf_span(&out), err);
        free(path);
    }
    if (trust)
        pb__trust_bundle__free_unpacked(trust, NULL);
    rl_buf_fini(&out);
    return rc;
}

/* ---- the file's blocks ---- */

/* The clusters that the blocks above are for, each with a space on both sides: where two profiles
 * lead to one cluster the first of them is taken, with its identity and no other. */
static bool is_taken(struct rl_buf *taken, const char *cluster)
{
    char *word = rl_sprintf(" %s ", cluster);
    bool is_there = strstr(rl_buf_text(taken), word) != NULL;
    free(word);
    return is_there;
}

static void put_clusters(const struct hosts *h, const char *only, struct rl_buf *taken,
                         struct rl_buf *out)
{
    for (size_t i = 0; i < cluster_count(h); i++) {
        const char *cluster = cluster_at(h, i);
        if ((only && strcmp(only, cluster) != 0) || is_taken(taken, cluster))
            continue;
        rl_buf_printf(out, "*.%s ", cluster);
        rl_buf_printf(taken, " %s ", cluster);
    }
}

/* The command goes through a shell, with the name that a person (or a repository's URL) gave inside
 * single quotes: a name with a single quote is not ours. It names the cluster, so that whatever
 * else is selected, a name without one is of the profile's own. */
static void put_settings(const struct tsh_profile *profile, const char *tsh, struct rl_buf *out)
{
    rl_buf_printf(out,
                  "\"!*'*\"\n"
                  "    ProxyCommand '%s' proxy ssh --home='%s' --proxy=%s --cluster=%s -- "
                  "'%%n:%%p'\n"
                  "    IdentityFile \"%s/id\"\n"
                  "    CertificateFile \"%s/id-cert.pub\"\n"
                  "    IdentitiesOnly yes\n"
                  "    UserKnownHostsFile \"%s/known_hosts\"\n"
                  "    GlobalKnownHostsFile /dev/null\n"
                  "    StrictHostKeyChecking yes\n"
                  "    HostKeyAlgorithms ssh-ed25519-cert-v01@openssh.com\n"
                  "    UpdateHostKeys no\n"
                  "    CheckHostIP no\n\n",
                  tsh, profile->home, tsh_profile_text(profile, "proxy"),
                  tsh_profile_text(profile, "cluster"), profile->dir, profile->dir, profile->dir);
}

/* `only` NULL: all that the profile leads to. */
static rl_code put_profile(const struct tsh_profile *profile, const char *tsh, const char *only,
                           struct rl_buf *taken, struct rl_buf *out, struct rl_error *err)
{
    struct hosts h = {.profile = profile};
    rl_code rc = tsh_sshconfig_check_path(profile->dir, err);
    if (rc != RL_OK)
        return rc;
    h.leaves = tsh_leaves_read(profile);
    rc = read_nodes(&h, err);
    if (rc == RL_OK)
        rc = put_known_hosts(&h, err);
    if (rc == RL_OK) {
        rl_buf_put_text(out, "Host ");
        if (!only || tsh_cluster_is_own(profile, only))
            put_nodes(&h, ' ', out);
        put_clusters(&h, only, taken, out);
        put_settings(profile, tsh, out);
    }
    pb__list_clusters_response__free_unpacked(h.leaves, NULL);
    rl_buf_fini(&h.names);
    return rc;
}

rl_code tsh_sshconfig_of_cluster(const struct tsh_profile *profile, const char *cluster,
                                 struct rl_buf *out, struct rl_error *err)
{
    char tsh[PATH_MAX];
    struct rl_buf taken;
    rl_buf_init(&taken, CONFIG_BYTES_MAX);
    rl_code rc = own_path(tsh, err);
    if (rc == RL_OK && (rc = tsh_sshconfig_check_path(profile->home, err)) == RL_OK)
        rc = put_profile(profile, tsh, cluster, &taken, out, err);
    if (rc == RL_OK && taken.n == 0)
        rc = rl_fail(err, RL_E_NOT_FOUND,
                     "no such cluster \"%s\"; `tsh clusters` lists those that you may reach",
                     cluster);
    rl_buf_fini(&taken);
    return rc;
}

rl_code tsh_sshconfig_write(const char *home, struct rl_error *err)
{
    char tsh[PATH_MAX];
    char **names = NULL;
    struct rl_buf out, taken;
    rl_buf_init(&out, CONFIG_BYTES_MAX);
    rl_buf_init(&taken, CONFIG_BYTES_MAX);
    rl_code rc = own_path(tsh, err);
    if (rc == RL_OK && (rc = tsh_sshconfig_check_path(home, err)) == RL_OK)
        rc = tsh_profile_names(home, &names, err);
    rl_buf_put_text(&out, "# Written by tsh at each login; changes are lost. Its hosts are the "
                          "nodes that you may see.\n\n");
    for (size_t i = 0; rc == RL_OK && names[i]; i++) {
        struct tsh_profile profile = {
            .home = rl_strdup(home),
            .name = rl_strdup(names[i]),
            .dir = rl_sprintf("%s/profiles/%s", home, names[i]),
        };
        if (tsh_profile_load(&profile, NULL) == RL_OK)
            rc = put_profile(&profile, tsh, NULL, &taken, &out, err);
        tsh_profile_fini(&profile);
    }
    if (rc == RL_OK && out.failed)
        rc = rl_fail(err, RL_E_EXHAUSTED, "too many nodes for one ssh_config");
    if (rc == RL_OK) {
        char *path = rl_sprintf("%s/ssh_config", home);
        rc = rl_file_update(path, rl_buf_span(&out), err);
        free(path);
    }
    tsh_profile_names_free(&names);
    rl_buf_fini(&out);
    rl_buf_fini(&taken);
    return rc;
}
