#include "leaves.h"

#include "home.h"

static struct rl_error err;
static struct tsh_profile profile;

static void set_up(void)
{
    home_make();
    log_in(PROXY, CLUSTER, FUTURE, NULL);
    ck_assert_int_eq(tsh_profile_open(PROXY, &profile, &err), RL_OK);
}

static void tear_down(void)
{
    tsh_profile_fini(&profile);
    home_remove();
}

static void check_names(const char *const *names, size_t count)
{
    Pb__ListClustersResponse *leaves = tsh_leaves_read(&profile);
    ck_assert_uint_eq(leaves->n_clusters, count);
    for (size_t i = 0; i < count; i++)
        ck_assert_str_eq(leaves->clusters[i]->name, names[i]);
    pb__list_clusters_response__free_unpacked(leaves, NULL);
}

START_TEST(leaves_are_kept_in_order)
{
    static const char *const names[] = {"a.leaf", "b"};
    Pb__ClusterInfo *leaves[] = {a_leaf("b", NULL), a_leaf("a.leaf", NULL)};
    check_names(NULL, 0);
    write_leaves(&profile, leaves, 2);
    check_names(names, 2);
    for (size_t i = 0; i < 2; i++)
        pb__cluster_info__free_unpacked(leaves[i], NULL);
}
END_TEST

START_TEST(what_is_no_leaf_is_left_out)
{
    static const char *const names[] = {"good"};
    Pb__ClusterInfo *leaves[] = {a_leaf(CLUSTER, NULL), a_leaf("a b", NULL),
                                 a_leaf("*", NULL),     a_leaf("x\nHost *", NULL),
                                 a_leaf("", NULL),      a_leaf("good", NULL),
                                 a_leaf("other", NULL), a_leaf("without", NULL)};
    free(leaves[6]->trust->cluster);
    leaves[6]->trust->cluster = rl_strdup("good"); /* authorities of one cluster for another */
    pb__trust_bundle__free_unpacked(leaves[7]->trust, NULL);
    leaves[7]->trust = NULL;
    write_leaves(&profile, leaves, RL_COUNT(leaves));
    check_names(names, 1);
    for (size_t i = 0; i < RL_COUNT(leaves); i++)
        pb__cluster_info__free_unpacked(leaves[i], NULL);
}
END_TEST

START_TEST(a_file_that_is_damaged_names_none)
{
    char *path = tsh_profile_path(&profile, "leaves");
    write_text(path, "\x0a\xff\xff");
    check_names(NULL, 0);
    free(path);
}
END_TEST

START_TEST(a_cluster_that_is_not_known_has_no_authorities)
{
    struct rl_trust *trust = NULL;
    ck_assert_int_eq(tsh_leaves_trust(&profile, "leaf", &trust, &err), RL_E_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(err.message, "no such cluster \"leaf\""));
    ck_assert_ptr_null(trust);
}
END_TEST

/* Without one for its services nobody could be believed. */
START_TEST(authorities_that_are_not_whole_are_refused)
{
    struct rl_trust *trust = NULL;
    Pb__ClusterInfo *leaf = a_leaf("leaf", NULL);
    write_leaves(&profile, &leaf, 1);
    ck_assert_int_eq(tsh_leaves_trust(&profile, "leaf", &trust, &err), RL_E_INVAL);
    ck_assert_ptr_null(trust);
    pb__cluster_info__free_unpacked(leaf, NULL);
}
END_TEST

static void check_chosen(const char *asked, const char *chosen)
{
    char *cluster = NULL;
    ck_assert_int_eq(tsh_cluster_choose(&profile, asked, &cluster, &err), RL_OK);
    ck_assert_str_eq(cluster, chosen);
    free(cluster);
}

START_TEST(a_cluster_is_asked_for_or_selected_or_ones_own)
{
    char *cluster = NULL;
    check_chosen(NULL, CLUSTER);
    ck_assert_int_eq(tsh_cluster_select(&profile, "leaf", &err), RL_OK);
    check_chosen(NULL, "leaf");
    check_chosen("other", "other");
    check_chosen(CLUSTER, CLUSTER);
    ck_assert_int_eq(tsh_cluster_choose(&profile, "x'y", &cluster, &err), RL_E_INVAL);
    ck_assert_ptr_null(cluster);
    ck_assert_int_eq(tsh_cluster_select(&profile, "not\na name", &err), RL_OK);
    check_chosen(NULL, CLUSTER);
}
END_TEST

START_TEST(logging_out_forgets_leaves_and_choice)
{
    Pb__ClusterInfo *leaf = a_leaf("leaf", NULL);
    write_leaves(&profile, &leaf, 1);
    ck_assert_int_eq(tsh_cluster_select(&profile, "leaf", &err), RL_OK);
    ck_assert_int_eq(tsh_profile_forget(&profile, &err), RL_OK);
    check_names(NULL, 0);
    check_chosen(NULL, CLUSTER);
    pb__cluster_info__free_unpacked(leaf, NULL);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("leaves");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, leaves_are_kept_in_order);
    tcase_add_test(t, what_is_no_leaf_is_left_out);
    tcase_add_test(t, a_file_that_is_damaged_names_none);
    tcase_add_test(t, a_cluster_that_is_not_known_has_no_authorities);
    tcase_add_test(t, authorities_that_are_not_whole_are_refused);
    tcase_add_test(t, a_cluster_is_asked_for_or_selected_or_ones_own);
    tcase_add_test(t, logging_out_forgets_leaves_and_choice);
    return run_suite(t, "leaves");
}
