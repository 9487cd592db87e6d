#include "leaves.h"

#include "enrol/enrol.h"
#include "file/file.h"
#include "names/names.h"

#include <stdlib.h>
#include <string.h>

#define LEAVES_FILE "leaves"
#define SELECTED_FILE "selected"

bool tsh_cluster_is_own(const struct tsh_profile *profile, const char *cluster)
{
    return strcmp(cluster, tsh_profile_text(profile, "cluster")) == 0;
}

/* ---- what is kept ---- */

/* Its name goes into OpenSSH's files, its authorities sign for that name and no other. */
static bool is_leaf(const struct tsh_profile *profile, const Pb__ClusterInfo *c)
{
    return rl_name_check_cluster(c->name, NULL) == RL_OK && !tsh_cluster_is_own(profile, c->name) &&
           c->trust && strcmp(c->trust->cluster, c->name) == 0;
}

static int compare_clusters(const void *a, const void *b)
{
    return strcmp((*(Pb__ClusterInfo *const *)a)->name, (*(Pb__ClusterInfo *const *)b)->name);
}

/* Drops what is no leaf, in place. */
static void keep_leaves(const struct tsh_profile *profile, Pb__ListClustersResponse *list)
{
    size_t count = 0;
    for (size_t i = 0; i < list->n_clusters; i++)
        if (is_leaf(profile, list->clusters[i]))
            list->clusters[count++] = list->clusters[i];
        else
            pb__cluster_info__free_unpacked(list->clusters[i], NULL);
    list->n_clusters = count;
    if (count)
        qsort(list->clusters, count, sizeof(Pb__ClusterInfo *), compare_clusters);
}

static rl_code read_packed(const struct tsh_profile *profile, struct rl_buf *out)
{
    char *path = tsh_profile_path(profile, LEAVES_FILE);
    rl_code rc = rl_file_read(path, out, NULL);
    free(path);
    return rc;
}

Pb__ListClustersResponse *tsh_leaves_read(const struct tsh_profile *profile)
{
    struct rl_buf packed;
    Pb__ListClustersResponse *list = NULL;
    rl_buf_init(&packed, TSH_FILE_BYTES_MAX);
    if (read_packed(profile, &packed) == RL_OK)
        list = pb__list_clusters_response__unpack(NULL, packed.n, packed.p);
    if (!list)
        list = pb__list_clusters_response__unpack(NULL, 0, NULL);
    RL_ASSERT(list);
    keep_leaves(profile, list);
    rl_buf_fini(&packed);
    return list;
}

/* Only what does not change from hour to hour. */
static Pb__ListClustersResponse *without_status(const Pb__ListClustersResponse *said)
{
    Pb__ListClustersResponse *list = pb__list_clusters_response__unpack(NULL, 0, NULL);
    RL_ASSERT(list);
    list->clusters = rl_alloc_array(said->n_clusters + 1, sizeof *list->clusters);
    for (size_t i = 0; i < said->n_clusters; i++) {
        Pb__ClusterInfo c = *said->clusters[i];
        c.status = (char *)(uintptr_t)protobuf_c_empty_string;
        c.last_seen_ns = 0;
        size_t n = pb__cluster_info__get_packed_size(&c);
        uint8_t *packed = rl_alloc(n + 1);
        pb__cluster_info__pack(&c, packed);
        list->clusters[list->n_clusters] = pb__cluster_info__unpack(NULL, n, packed);
        RL_ASSERT(list->clusters[list->n_clusters]);
        list->n_clusters++;
        free(packed);
    }
    return list;
}

rl_code tsh_leaves_keep(const struct tsh_profile *profile, const Pb__ListClustersResponse *said,
                        bool *changed, struct rl_error *err)
{
    rl_code rc = RL_OK;
    struct rl_buf before;
    Pb__ListClustersResponse *list = without_status(said);
    keep_leaves(profile, list);
    size_t n = pb__list_clusters_response__get_packed_size(list);
    uint8_t *packed = rl_alloc(n + 1);
    pb__list_clusters_response__pack(list, packed);
    rl_buf_init(&before, TSH_FILE_BYTES_MAX);
    bool is_kept = read_packed(profile, &before) == RL_OK;
    *changed = is_kept ? before.n != n || (n && memcmp(before.p, packed, n) != 0) : n != 0;
    if (*changed) {
        char *path = tsh_profile_path(profile, LEAVES_FILE);
        rc = rl_file_write(path, RL_SPAN(packed, n), err);
        free(path);
    }
    rl_buf_fini(&before);
    free(packed);
    pb__list_clusters_response__free_unpacked(list, NULL);
    return rc;
}

rl_code tsh_leaves_trust(const struct tsh_profile *profile, const char *cluster,
                         struct rl_trust **out, struct rl_error *err)
{
    Pb__ListClustersResponse *leaves = tsh_leaves_read(profile);
    rl_code rc =
        rl_fail(err, RL_E_NOT_FOUND,
                "no such cluster \"%s\"; `tsh clusters` lists those that you may reach", cluster);
    for (size_t i = 0; i < leaves->n_clusters; i++)
        if (strcmp(leaves->clusters[i]->name, cluster) == 0)
            rc = rl_trust_from_bundle(leaves->clusters[i]->trust, out, err);
    pb__list_clusters_response__free_unpacked(leaves, NULL);
    return rc;
}

/* ---- which one is meant ---- */

rl_code tsh_cluster_select(const struct tsh_profile *profile, const char *cluster,
                           struct rl_error *err)
{
    char *path = tsh_profile_path(profile, SELECTED_FILE);
    rl_code rc = rl_file_write(path, rl_span_of(cluster), err);
    free(path);
    return rc;
}

/* NULL: none, or what can not be one. */
static char *selected(const struct tsh_profile *profile)
{
    struct rl_buf text;
    char *name = NULL;
    rl_buf_init(&text, TSH_FILE_BYTES_MAX);
    char *path = tsh_profile_path(profile, SELECTED_FILE);
    if (rl_file_read(path, &text, NULL) == RL_OK &&
        rl_name_check_cluster(rl_buf_text(&text), NULL) == RL_OK)
        name = rl_strdup(rl_buf_text(&text));
    free(path);
    rl_buf_fini(&text);
    return name;
}

rl_code tsh_cluster_choose(const struct tsh_profile *profile, const char *asked, char **out,
                           struct rl_error *err)
{
    if (asked && rl_name_check_cluster(asked, err) != RL_OK)
        return err ? err->code : RL_E_INVAL;
    char *name = asked ? rl_strdup(asked) : selected(profile);
    *out = name ? name : rl_strdup(tsh_profile_text(profile, "cluster"));
    return RL_OK;
}
