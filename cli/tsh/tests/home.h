/* A TSH_HOME of its own for each test, and profiles in it. */
#ifndef TSH_TESTS_HOME_H
#define TSH_TESTS_HOME_H

#include "file/file.h"
#include "profile.h"
#include "sshcert/sshkey.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROXY "root.example.com:443"
#define CLUSTER "root.example.com"
#define FUTURE "2200-01-01T00:00:00Z"
#define PAST "2020-01-01T00:00:00Z"
#define UUID "0190a1b2-0000-7000-8000-000000000001"

static char home[32];

static inline void home_make(void)
{
    snprintf(home, sizeof home, "/tmp/rl-tsh-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(home));
    setenv("TSH_HOME", home, 1);
}

static inline void home_remove(void)
{
    char command[160];
    snprintf(command, sizeof command, "chmod -R u+rwx %s && rm -rf %s", home, home);
    ck_assert_int_eq(system(command), 0);
}

static inline void write_text(const char *path, const char *text)
{
    ck_assert_int_eq(rl_file_write(path, rl_span_of(text), NULL), RL_OK);
}

static inline char *read_text(const char *path)
{
    struct rl_buf text;
    rl_buf_init(&text, TSH_FILE_BYTES_MAX);
    ck_assert_int_eq(rl_file_read(path, &text, NULL), RL_OK);
    char *copy = rl_strdup(rl_buf_text(&text));
    rl_buf_fini(&text);
    return copy;
}

static inline json_t *a_status(const char *proxy, const char *cluster, const char *until)
{
    return json_pack("{s:s, s:s, s:s, s:s}", "user", "alice", "proxy", proxy, "cluster", cluster,
                     "valid_until", until);
}

/* Logged in at `proxy`; *ca_line is the line of its host authority, heap text (NULL: not wanted).
 */
static inline void log_in(const char *proxy, const char *cluster, const char *until, char **ca_line)
{
    struct tsh_profile profile;
    Pb__TrustBundle trust = PB__TRUST_BUNDLE__INIT;
    struct rl_buf blob;
    EVP_PKEY *key = NULL;
    char *name = rl_strdup(cluster);
    rl_buf_init(&blob, 4096);
    ck_assert_int_eq(rl_sshkey_generate(&key, NULL), RL_OK);
    ck_assert_int_eq(rl_sshkey_public_blob(key, &blob, NULL), RL_OK);
    ProtobufCBinaryData ca = {blob.n, blob.p};
    trust.cluster = name;
    trust.n_host_ssh_cas = 1;
    trust.host_ssh_cas = &ca;
    json_t *status = a_status(proxy, cluster, until);
    ck_assert_int_eq(tsh_profile_create(proxy, &profile, NULL), RL_OK);
    ck_assert_int_eq(tsh_profile_save(&profile, status, &trust, NULL), RL_OK);
    if (ca_line)
        *ca_line = rl_sshkey_line_format(rl_buf_span(&blob), NULL);
    json_decref(status);
    tsh_profile_fini(&profile);
    EVP_PKEY_free(key);
    rl_buf_fini(&blob);
    free(name);
}

/* A leaf as auth tells of it, with an authority for its hosts; *ca_line as above. Owns:
 * free_unpacked.
 */
static inline Pb__ClusterInfo *a_leaf(const char *name, char **ca_line)
{
    struct rl_buf blob;
    EVP_PKEY *key = NULL;
    Pb__ClusterInfo c = PB__CLUSTER_INFO__INIT;
    Pb__TrustBundle trust = PB__TRUST_BUNDLE__INIT;
    char *text = rl_strdup(name), type[] = "leaf", status[] = "online";
    rl_buf_init(&blob, 4096);
    ck_assert_int_eq(rl_sshkey_generate(&key, NULL), RL_OK);
    ck_assert_int_eq(rl_sshkey_public_blob(key, &blob, NULL), RL_OK);
    ProtobufCBinaryData ca = {blob.n, blob.p};
    trust.cluster = c.name = text;
    trust.n_host_ssh_cas = 1;
    trust.host_ssh_cas = &ca;
    c.trust = &trust;
    c.type = type;
    c.status = status;
    c.last_seen_ns = 1;
    if (ca_line)
        *ca_line = rl_sshkey_line_format(rl_buf_span(&blob), NULL);
    size_t n = pb__cluster_info__get_packed_size(&c);
    uint8_t *packed = rl_alloc(n);
    pb__cluster_info__pack(&c, packed);
    Pb__ClusterInfo *copy = pb__cluster_info__unpack(NULL, n, packed);
    ck_assert_ptr_nonnull(copy);
    free(packed);
    EVP_PKEY_free(key);
    rl_buf_fini(&blob);
    free(text);
    return copy;
}

/* What is kept of them in the profile's directory, written as tsh would. */
static inline void write_leaves(const struct tsh_profile *profile, Pb__ClusterInfo **clusters,
                                size_t count)
{
    Pb__ListClustersResponse list = PB__LIST_CLUSTERS_RESPONSE__INIT;
    list.clusters = clusters;
    list.n_clusters = count;
    size_t n = pb__list_clusters_response__get_packed_size(&list);
    uint8_t *packed = rl_alloc(n + 1);
    pb__list_clusters_response__pack(&list, packed);
    char *path = tsh_profile_path(profile, "leaves");
    ck_assert_int_eq(rl_file_write(path, RL_SPAN(packed, n), NULL), RL_OK);
    free(path);
    free(packed);
}

static inline int run_suite(TCase *t, const char *name)
{
    Suite *s = suite_create(name);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}

#endif
