#include "inventory.h"

#include "home.h"

#define OTHER_UUID "0190a1b2-0000-7000-8000-000000000002"

static struct rl_error err;

/* Three nodes: named, without a name, and one that auth forgot to fill. */
struct world {
    Pb__ListNodesResponse list;
    Pb__VisibleNode visible[3], *pointers[3];
    Pb__Node node[3];
    Pb__NodeSpec spec[2];
    Pb__Metadata metadata[2];
    Pb__Label label, *labels;
    char *logins[1];
};

static char env[] = "env", dev[] = "dev", name[] = "node-a", id[] = UUID, other[] = OTHER_UUID,
            empty[] = "", bad[] = "b\377d", root[] = "root";

static void make(struct world *w)
{
    memset(w, 0, sizeof *w);
    pb__list_nodes_response__init(&w->list);
    pb__label__init(&w->label);
    w->label.key = env;
    w->label.value = dev;
    w->labels = &w->label;
    w->logins[0] = root;
    for (size_t i = 0; i < 3; i++) {
        pb__visible_node__init(&w->visible[i]);
        pb__node__init(&w->node[i]);
        w->visible[i].node = i < 2 ? &w->node[i] : NULL;
        w->pointers[i] = &w->visible[i];
    }
    for (size_t i = 0; i < 2; i++) {
        pb__node_spec__init(&w->spec[i]);
        pb__metadata__init(&w->metadata[i]);
        w->metadata[i].n_labels = 1;
        w->metadata[i].labels = &w->labels;
        w->node[i].spec = &w->spec[i];
        w->node[i].metadata = &w->metadata[i];
    }
    w->spec[0].name = name;
    w->metadata[0].name = id;
    w->spec[1].name = empty;
    w->spec[1].hostname = bad;
    w->metadata[1].name = other;
    w->visible[0].n_logins = 1;
    w->visible[0].logins = w->logins;
    w->list.n_nodes = 3;
    w->list.nodes = w->pointers;
}

START_TEST(the_list_is_the_contracts_whatever_bytes_are_in_it)
{
    struct world w;
    make(&w);
    json_t *array = tsh_inventory_json(&w.list, CLUSTER);
    ck_assert_uint_eq(json_array_size(array), 2);
    char *text = json_dumps(json_array_get(array, 0), JSON_COMPACT);
    ck_assert_str_eq(text, "{\"id\":\"" UUID "\",\"name\":\"node-a\",\"hostname\":\"\",\"cluster\":"
                           "\"" CLUSTER "\",\"mode\":\"\",\"status\":\"\",\"last_seen\":null,"
                           "\"labels\":{\"env\":\"dev\"},\"logins\":[\"root\"],\"version\":\"\"}");
    json_t *second = json_array_get(array, 1);
    ck_assert(json_is_null(json_object_get(second, "name")));
    ck_assert_str_eq(json_string_value(json_object_get(second, "hostname")), "b\xEF\xBF\xBD"
                                                                             "d");
    free(text);
    json_decref(array);
}
END_TEST

START_TEST(a_node_is_picked_by_name_id_and_label)
{
    struct world w;
    const Pb__VisibleNode *node = NULL;
    make(&w);
    ck_assert_int_eq(tsh_inventory_pick(&w.list, "node-a", &node, &err), RL_OK);
    ck_assert_ptr_eq(node, &w.visible[0]);
    ck_assert_int_eq(tsh_inventory_pick(&w.list, OTHER_UUID, &node, &err), RL_OK);
    ck_assert_ptr_eq(node, &w.visible[1]);
    w.metadata[1].n_labels = 0;
    ck_assert_int_eq(tsh_inventory_pick(&w.list, "env=dev", &node, &err), RL_OK);
    ck_assert_ptr_eq(node, &w.visible[0]);
}
END_TEST

START_TEST(none_is_denied_and_several_are_not_chosen_from)
{
    struct world w;
    const Pb__VisibleNode *node = NULL;
    make(&w);
    ck_assert_int_eq(tsh_inventory_pick(&w.list, "node-b", &node, &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "no such node \"node-b\"");
    ck_assert_int_eq(tsh_inventory_pick(&w.list, "env=de", &node, &err), RL_E_DENIED);
    ck_assert_int_eq(tsh_inventory_pick(&w.list, "en=dev", &node, &err), RL_E_DENIED);
    ck_assert_int_eq(tsh_inventory_pick(&w.list, "=", &node, &err), RL_E_DENIED);
    ck_assert_int_eq(tsh_inventory_pick(&w.list, "env=dev", &node, &err), RL_E_INVAL);
    ck_assert_ptr_null(node);
}
END_TEST

static void check_host(struct world *w, char *node_name, char *node_id, const char *host)
{
    char *got = NULL;
    w->spec[0].name = node_name;
    w->metadata[0].name = node_id;
    rl_code rc = tsh_inventory_host(&w->visible[0], CLUSTER, &got, &err);
    ck_assert_int_eq(rc, host ? RL_OK : RL_E_INTERNAL);
    if (host)
        ck_assert_str_eq(got, host);
    free(got);
}

START_TEST(ssh_is_told_of_a_checked_name_in_its_cluster)
{
    static char evil[] = "evil.example.com", flag[] = "-oProxyCommand=id";
    struct world w;
    make(&w);
    check_host(&w, name, id, "node-a." CLUSTER);
    check_host(&w, empty, id, UUID "." CLUSTER);
    check_host(&w, evil, id, UUID "." CLUSTER);
    check_host(&w, evil, evil, NULL);
    check_host(&w, flag, flag, NULL);
    check_host(&w, empty, empty, NULL);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("inventory");
    tcase_add_test(t, the_list_is_the_contracts_whatever_bytes_are_in_it);
    tcase_add_test(t, a_node_is_picked_by_name_id_and_label);
    tcase_add_test(t, none_is_denied_and_several_are_not_chosen_from);
    tcase_add_test(t, ssh_is_told_of_a_checked_name_in_its_cluster);
    return run_suite(t, "inventory");
}
