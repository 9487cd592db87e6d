#include "inventory.h"

#include "home.h"

#define OTHER_UUID "0190a1b2-0000-7000-8000-000000000002"

static struct rl_error err;

/* Two nodes: named, and without a name. */
struct world {
    struct tsh_nodes nodes;
    struct tsh_node items[2];
    Pb__Label label, *labels;
    char *logins[1];
};

static char env[] = "env", dev[] = "dev", root[] = "root";

static void make(struct world *w)
{
    *w = (struct world){.label = PB__LABEL__INIT, .labels = &w->label, .logins = {root}};
    w->label.key = env;
    w->label.value = dev;
    for (size_t i = 0; i < 2; i++)
        w->items[i] = (struct tsh_node){
            .id = i ? OTHER_UUID : UUID,
            .name = i ? "" : "node-a",
            .hostname = i ? "b\377d" : "",
            .mode = "",
            .version = "",
            .status = "",
            .labels = &w->labels,
            .label_count = 1,
            .logins = w->logins,
            .login_count = i ? 0 : 1,
        };
    w->nodes.items = w->items;
    w->nodes.count = 2;
}

START_TEST(the_list_is_the_contracts_whatever_bytes_are_in_it)
{
    struct world w;
    make(&w);
    json_t *array = tsh_inventory_json(&w.nodes, CLUSTER);
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
    const struct tsh_node *node = NULL;
    make(&w);
    ck_assert_int_eq(tsh_inventory_pick(&w.nodes, "node-a", &node, &err), RL_OK);
    ck_assert_ptr_eq(node, &w.items[0]);
    ck_assert_int_eq(tsh_inventory_pick(&w.nodes, OTHER_UUID, &node, &err), RL_OK);
    ck_assert_ptr_eq(node, &w.items[1]);
    w.items[1].label_count = 0;
    ck_assert_int_eq(tsh_inventory_pick(&w.nodes, "env=dev", &node, &err), RL_OK);
    ck_assert_ptr_eq(node, &w.items[0]);
}
END_TEST

START_TEST(none_is_denied_and_several_are_not_chosen_from)
{
    struct world w;
    const struct tsh_node *node = NULL;
    make(&w);
    ck_assert_int_eq(tsh_inventory_pick(&w.nodes, "node-b", &node, &err), RL_E_DENIED);
    ck_assert_str_eq(err.message, "no such node \"node-b\"");
    ck_assert_int_eq(tsh_inventory_pick(&w.nodes, "env=de", &node, &err), RL_E_DENIED);
    ck_assert_int_eq(tsh_inventory_pick(&w.nodes, "en=dev", &node, &err), RL_E_DENIED);
    ck_assert_int_eq(tsh_inventory_pick(&w.nodes, "=", &node, &err), RL_E_DENIED);
    ck_assert_int_eq(tsh_inventory_pick(&w.nodes, "env=dev", &node, &err), RL_E_INVAL);
    ck_assert_ptr_null(node);
}
END_TEST

static void check_host(const char *name, const char *id, const char *host)
{
    char *got = NULL;
    const struct tsh_node node = {.id = id, .name = name};
    rl_code rc = tsh_inventory_host(&node, CLUSTER, &got, &err);
    ck_assert_int_eq(rc, host ? RL_OK : RL_E_INTERNAL);
    if (host)
        ck_assert_str_eq(got, host);
    free(got);
}

START_TEST(ssh_is_told_of_a_checked_name_in_its_cluster)
{
    static const char evil[] = "evil.example.com", flag[] = "-oProxyCommand=id";
    check_host("node-a", UUID, "node-a." CLUSTER);
    check_host("", UUID, UUID "." CLUSTER);
    check_host(evil, UUID, UUID "." CLUSTER);
    check_host(evil, evil, NULL);
    check_host(flag, flag, NULL);
    check_host("", "", NULL);
}
END_TEST

/* ---- what auth answers ---- */

static Pb__ListNodesResponse *answer_of(const Pb__ListNodesResponse *like)
{
    uint8_t packed[4096];
    size_t n = pb__list_nodes_response__pack(like, packed);
    Pb__ListNodesResponse *answer = pb__list_nodes_response__unpack(NULL, n, packed);
    ck_assert_ptr_nonnull(answer);
    return answer;
}

static char id_text[] = UUID, name_text[] = "node-a", hostname[] = "h", mode[] = "tunnel",
            version[] = "0.1.0", offline[] = "offline";

START_TEST(rows_and_nodes_are_read_alike)
{
    struct tsh_nodes nodes = {0};
    struct world w;
    make(&w);
    Pb__NodeRow row = PB__NODE_ROW__INIT, *rows = &row;
    Pb__NodeClass class = PB__NODE_CLASS__INIT, *classes = &class;
    Pb__ListNodesResponse in_rows = PB__LIST_NODES_RESPONSE__INIT;
    row.id = id_text, row.name = name_text, row.hostname = hostname, row.last_seen_ns = 5;
    class.mode = mode, class.version = version;
    class.labels = &w.labels, class.n_labels = 1;
    class.logins = w.logins, class.n_logins = 1;
    in_rows.rows = &rows, in_rows.n_rows = 1;
    in_rows.classes = &classes, in_rows.n_classes = 1;

    Pb__Metadata metadata = PB__METADATA__INIT;
    Pb__NodeSpec spec = PB__NODE_SPEC__INIT;
    Pb__Node node = PB__NODE__INIT, empty = PB__NODE__INIT;
    Pb__VisibleNode visible = PB__VISIBLE_NODE__INIT, half = PB__VISIBLE_NODE__INIT,
                    *both[] = {&half, &visible};
    Pb__ListNodesResponse in_nodes = PB__LIST_NODES_RESPONSE__INIT;
    metadata.name = id_text, metadata.labels = &w.labels, metadata.n_labels = 1;
    spec.name = name_text, spec.hostname = hostname, spec.mode = mode, spec.version = version;
    spec.status = offline, spec.last_seen_ns = 5;
    node.metadata = &metadata, node.spec = &spec;
    half.node = &empty;
    visible.node = &node, visible.logins = w.logins, visible.n_logins = 1;
    in_nodes.nodes = both, in_nodes.n_nodes = 2;

    ck_assert_int_eq(tsh_nodes_add(&nodes, answer_of(&in_rows), &err), RL_OK);
    ck_assert_int_eq(tsh_nodes_add(&nodes, answer_of(&in_nodes), &err), RL_OK);
    ck_assert_uint_eq(nodes.count, 2);
    json_t *array = tsh_inventory_json(&nodes, CLUSTER);
    ck_assert(json_equal(json_array_get(array, 0), json_array_get(array, 1)));
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(array, 0), "status")),
                     "offline");
    json_decref(array);
    tsh_nodes_fini(&nodes);
}
END_TEST

START_TEST(a_row_of_a_class_that_is_not_there_is_refused)
{
    struct tsh_nodes nodes = {0};
    Pb__NodeRow row = PB__NODE_ROW__INIT, *rows = &row;
    Pb__NodeClass class = PB__NODE_CLASS__INIT, *classes = &class;
    Pb__ListNodesResponse answer = PB__LIST_NODES_RESPONSE__INIT;
    answer.rows = &rows, answer.n_rows = 1;
    ck_assert_int_eq(tsh_nodes_add(&nodes, answer_of(&answer), &err), RL_E_INTERNAL);
    answer.classes = &classes, answer.n_classes = 1;
    row.node_class = 1;
    ck_assert_int_eq(tsh_nodes_add(&nodes, answer_of(&answer), &err), RL_E_INTERNAL);
    row.node_class = UINT32_MAX;
    ck_assert_int_eq(tsh_nodes_add(&nodes, answer_of(&answer), &err), RL_E_INTERNAL);
    ck_assert_uint_eq(nodes.count, 0);
    tsh_nodes_fini(&nodes);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("inventory");
    tcase_add_test(t, the_list_is_the_contracts_whatever_bytes_are_in_it);
    tcase_add_test(t, a_node_is_picked_by_name_id_and_label);
    tcase_add_test(t, none_is_denied_and_several_are_not_chosen_from);
    tcase_add_test(t, rows_and_nodes_are_read_alike);
    tcase_add_test(t, a_row_of_a_class_that_is_not_there_is_refused);
    tcase_add_test(t, ssh_is_told_of_a_checked_name_in_its_cluster);
    return run_suite(t, "inventory");
}
