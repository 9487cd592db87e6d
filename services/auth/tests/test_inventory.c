/* The inventory in memory: every list is of the moment of its question, whoever changed what. */
#include "credential/token.h"
#include "fixture.h"
#include "inventory/inventory.h"
#include "inventory/state.h"
#include "people/listing.h"

#include <libpq-fe.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LISTERS 4
#define ROUNDS 10

static Pb__IdentityClaims *claims;
static struct rl_identity identity;
static struct rl_rpc_peer peer;

/* alice, by a certificate of the role "access". */
static void set_up(void)
{
    static char cluster[] = CLUSTER, name[] = "alice";
    fixture_set_up();
    fixture_sql("INSERT INTO users (name, roles, traits) VALUES ('alice', '{access}', '')");
    claims = rl_message_create(&pb__identity_claims__descriptor);
    rl_message_text(&claims->cluster, cluster);
    rl_message_text(&claims->user, name);
    rl_message_append(&claims->roles, &claims->n_roles, rl_strdup("access"));
    Pb__Trait *trait = rl_message_create(&pb__trait__descriptor);
    rl_message_text(&trait->key, "logins");
    rl_message_append(&trait->values, &trait->n_values, rl_strdup("root"));
    rl_message_append(&claims->traits, &claims->n_traits, trait);
    claims->issued_at_ns = rl_clock_wall_ns();
    identity = (struct rl_identity){
        .kind = RL_IDENTITY_USER, .cluster = cluster, .name = name, .claims = claims, .refs = 1};
    peer = (struct rl_rpc_peer){.identity = &identity, .address = "192.0.2.7:1"};
}

static void tear_down(void)
{
    pb__identity_claims__free_unpacked(claims, NULL);
    fixture_tear_down();
}

/* Nodes FIRST..LAST, each with its hostname of so many bytes and the label n=NUMBER. */
static void insert(int first, int last, int hostname_bytes)
{
    char *sql = rl_sprintf(
        "INSERT INTO instances (id, kind, name, hostname, agent_kinds, tls_key, ssh_key,"
        " own_label_keys, own_label_values, token_label_keys, token_label_values, version,"
        " unprivileged, peer_address, token_id) SELECT"
        " ('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid, 'agent', 'node-' || n,"
        " repeat('h', %d), '{node}', '', '', '{n}', ARRAY[n::text], '{}', '{}', '0.1.0', false, '',"
        " 't' FROM generate_series(%d, %d) n",
        hostname_bytes, first, last);
    fixture_sql(sql);
    free(sql);
}

static Pb__ListNodesResponse *list_after(Pb__NodePlace *after, const char *search)
{
    struct rl_buf packed;
    INIT_REPLY(request, ListNodesRequest, list_nodes_request);
    request.in_rows = true;
    request.after = after;
    request.search = rl_strdup(search);
    rl_buf_init(&packed, RL_RPC_MESSAGE_BYTES_MAX);
    ok(rl_listing_pack(auth, &peer, &request, &packed, &err));
    Pb__ListNodesResponse *reply = pb__list_nodes_response__unpack(NULL, packed.n, packed.p);
    ck_assert_ptr_nonnull(reply);
    rl_buf_fini(&packed);
    free(request.search);
    return reply;
}

/* The names, in order: "a b"; those that are online with a "+". Heap. */
static char *names_of(const char *search)
{
    struct rl_buf text;
    rl_buf_init(&text, 4096);
    Pb__ListNodesResponse *reply = list_after(NULL, search);
    for (size_t i = 0; i < reply->n_rows; i++)
        rl_buf_printf(&text, "%s%s%s", i ? " " : "",
                      *reply->rows[i]->name ? reply->rows[i]->name : "-",
                      reply->rows[i]->is_online ? "+" : "");
    char *names = rl_strdup(rl_buf_text(&text));
    rl_buf_fini(&text);
    pb__list_nodes_response__free_unpacked(reply, NULL);
    return names;
}

static void shows(const char *want)
{
    char *names = names_of("");
    ck_assert_str_eq(names, want);
    free(names);
}

static size_t whole_reads(void)
{
    return rl_inventory_whole_reads(auth->inventory);
}

START_TEST(a_list_has_what_was_committed_before_it)
{
    shows("");
    insert(1, 3, 4);
    shows("node-1 node-2 node-3");
    fixture_sql("UPDATE instances SET name = 'a' WHERE name = 'node-3'");
    shows("a node-1 node-2");
    fixture_sql("UPDATE instances SET own_label_values = '{nine}' WHERE name = 'a'");
    char *found = names_of("NINE");
    ck_assert_str_eq(found, "a");
    free(found);
    fixture_sql("UPDATE instances SET name = NULL WHERE name = 'a'");
    shows("node-1 node-2 -");
    ck_assert_uint_eq(whole_reads(), 1);
    fixture_sql("DELETE FROM instances WHERE name = 'node-1'");
    shows("node-2 -");
    ck_assert_uint_eq(whole_reads(), 2);
    fixture_sql("DELETE FROM instances WHERE name = 'node-2'");
    insert(7, 7, 4);
    shows("node-7 -");
    fixture_sql("UPDATE instances SET agent_kinds = '{app}' WHERE name = 'node-7'");
    shows("-");
}
END_TEST

static void run(PGconn *pg, const char *sql)
{
    PGresult *result = PQexec(pg, sql);
    ck_assert_msg(PQresultStatus(result) == PGRES_COMMAND_OK, "%s", PQerrorMessage(pg));
    PQclear(result);
}

START_TEST(what_commits_late_is_not_missed_however_much_came_between)
{
    insert(1, 2, 4);
    shows("node-1 node-2");
    PGconn *late = PQconnectdb(fixture_settings()->database);
    run(late, "SET search_path TO auth");
    run(late, "BEGIN");
    run(late, "UPDATE instances SET name = 'late' WHERE name = 'node-1'");
    run(late, "SAVEPOINT s");
    run(late, "UPDATE instances SET hostname = 'late' WHERE name = 'node-2'");
    for (int i = 3; i < 6; i++) {
        insert(i, i, 4);
        char *names = names_of("node-");
        ck_assert_ptr_nonnull(strstr(names, "node-1"));
        free(names);
    }
    run(late, "COMMIT");
    shows("late node-2 node-3 node-4 node-5");
    char *found = names_of("late");
    ck_assert_str_eq(found, "late node-2");
    free(found);
    run(late, "BEGIN");
    run(late, "UPDATE instances SET name = 'never' WHERE name = 'late'");
    run(late, "ROLLBACK");
    shows("late node-2 node-3 node-4 node-5");
    ck_assert_uint_eq(whole_reads(), 1);
    PQfinish(late);
}
END_TEST

START_TEST(what_another_replica_writes_is_seen_at_once)
{
    struct party node;
    struct rl_auth *here = auth, *there = NULL;
    INIT_REPLY(joined, JoinResponse, join_response);
    char *token = fixture_token("node", 1);
    shows("");
    ok(rl_auth_open(fixture_settings(), &there, &err));
    ok(rl_auth_start(there, &err));
    there->events = here->events;
    auth = there;
    party_init(&node);
    ok(fixture_join(&node, "agent", "node-a", token, &joined));
    shows("node-a");
    auth = here;
    shows("node-a");
    fixture_sql("DELETE FROM instances WHERE name = 'node-a'");
    shows("");
    auth = there;
    shows("");
    auth = here;
    there->events = NULL;
    rl_auth_close(&there);
    fixture_clear(&joined.base);
    party_fini(&node);
    rl_token_free(&token);
}
END_TEST

START_TEST(a_node_is_online_while_one_of_its_holders_lives)
{
    insert(1, 2, 4);
    fixture_sql("INSERT INTO leases (id, kind, version, dial_address, attach_address,"
                " control_address, peer_address, draining, expires) SELECT"
                " ('00000000-0000-7000-8000-00000000b00' || n)::uuid, 'broker', '', '', '', '', '',"
                " false, now() + interval '1 hour' FROM generate_series(1, 2) n");
    fixture_sql("INSERT INTO attachments (agent_id, holder_id, offered_epoch, is_attached)"
                " SELECT i.id, l.id, 1, true FROM instances i, leases l WHERE i.name = 'node-1'");
    shows("node-1+ node-2");
    fixture_sql("UPDATE leases SET expires = now() WHERE id::text LIKE '%b001'");
    shows("node-1+ node-2");
    fixture_sql("UPDATE leases SET expires = now(), last_seen = '2200-01-01'");
    shows("node-1 node-2");
    Pb__ListNodesResponse *reply = list_after(NULL, "node-1");
    ck_assert_int_gt(reply->rows[0]->last_seen_ns, rl_clock_wall_ns());
    pb__list_nodes_response__free_unpacked(reply, NULL);
    fixture_sql("UPDATE leases SET expires = now() + interval '1 hour'");
    shows("node-1+ node-2");
    fixture_sql("UPDATE attachments SET is_attached = false WHERE holder_id::text LIKE '%b001'");
    shows("node-1+ node-2");
    fixture_sql("UPDATE attachments SET is_attached = false");
    shows("node-1 node-2");
    ck_assert_uint_eq(whole_reads(), 1);
    fixture_sql("UPDATE attachments SET is_attached = true");
    shows("node-1+ node-2");
    fixture_sql("DELETE FROM attachments");
    shows("node-1 node-2");
    ck_assert_uint_eq(whole_reads(), 2);
}
END_TEST

START_TEST(a_lost_connection_a_restart_and_other_tables_are_survived)
{
    insert(1, 2, 4);
    shows("node-1 node-2");
    ck_assert_int_gt(fixture_count("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                                   " WHERE application_name = 'remoteler-auth'"),
                     0);
    fixture_sql("UPDATE instances SET name = 'b' WHERE name = 'node-2'");
    shows("b node-1");
    ck_assert_uint_eq(whole_reads(), 1);
    fixture_stop_database();
    fixture_start_database();
    shows("b node-1");
    ck_assert_uint_eq(whole_reads(), 2);
    fixture_sql("BEGIN; CREATE TABLE other (LIKE instances INCLUDING ALL);"
                " INSERT INTO other SELECT * FROM instances WHERE name = 'b';"
                " INSERT INTO other SELECT * FROM instances WHERE name = 'node-1';"
                " UPDATE other SET hostname = 'restored';"
                " ALTER TABLE instances RENAME TO before; ALTER TABLE other RENAME TO instances;"
                " COMMIT");
    char *found = names_of("restored");
    ck_assert_str_eq(found, "b node-1");
    free(found);
    ck_assert_uint_eq(whole_reads(), 3);
}
END_TEST

START_TEST(rows_that_can_not_be_read_are_refused_and_nothing_of_them_is_kept)
{
    INIT_REPLY(request, ListNodesRequest, list_nodes_request);
    struct rl_buf packed;
    rl_buf_init(&packed, RL_RPC_MESSAGE_BYTES_MAX);
    insert(1, 2, 4);
    shows("node-1 node-2");
    fixture_sql("ALTER TABLE instances ALTER COLUMN version TYPE bytea USING 'x';"
                " UPDATE instances SET name = 'other' WHERE name = 'node-1'");
    refused(rl_listing_pack(auth, &peer, &request, &packed, &err), RL_E_INTERNAL);
    ck_assert_uint_eq(packed.n, 0);
    fixture_sql("UPDATE instances SET name = 'node-1' WHERE name = 'other';"
                " ALTER TABLE instances ALTER COLUMN version TYPE text USING '0.1.0'");
    shows("node-1 node-2");
    rl_buf_fini(&packed);
}
END_TEST

START_TEST(a_long_list_comes_in_pages_without_gaps_or_repeats)
{
    insert(1, 2500, 1500);
    fixture_sql("UPDATE instances SET name = NULL WHERE name LIKE '%7'");
    size_t count = 0, pages = 0;
    Pb__NodePlace after = PB__NODE_PLACE__INIT;
    Pb__ListNodesResponse *reply = NULL, *last = NULL;
    do {
        reply = list_after(last ? &after : NULL, "");
        for (size_t i = 0; i < reply->n_rows; i++) {
            const char *name = reply->rows[i]->name, *before = last ? after.name : "";
            bool has_order = !last || !*name || (*before && strcmp(before, name) < 0);
            ck_assert_msg(has_order, "%s after %s", name, before);
        }
        count += reply->n_rows;
        pages++;
        ck_assert_uint_gt(reply->n_rows, 0);
        if (last)
            pb__list_nodes_response__free_unpacked(last, NULL);
        last = reply;
        if (reply->next)
            after = *reply->next;
    } while (reply->next);
    ck_assert_uint_eq(count, 2500);
    ck_assert_uint_eq(pages, 2);
    pb__list_nodes_response__free_unpacked(last, NULL);
}
END_TEST

START_TEST(rows_and_nodes_say_the_same)
{
    insert(1, 3, 4);
    fixture_sql("UPDATE instances SET token_label_keys = '{n,env}', token_label_values ="
                " '{one,dev}' WHERE name = 'node-1'");
    INIT_REPLY(request, ListNodesRequest, list_nodes_request);
    INIT_REPLY(nodes, ListNodesResponse, list_nodes_response);
    ok(fixture_list_nodes(&peer, &request, &nodes));
    Pb__ListNodesResponse *rows = list_after(NULL, "");
    ck_assert_uint_eq(nodes.n_nodes, 3);
    ck_assert_uint_eq(rows->n_rows, 3);
    ck_assert_ptr_null(rows->next);
    for (size_t i = 0; i < 3; i++) {
        const Pb__NodeRow *row = rows->rows[i];
        const Pb__VisibleNode *visible = nodes.nodes[i];
        ck_assert_uint_lt(row->node_class, rows->n_classes);
        const Pb__NodeClass *c = rows->classes[row->node_class];
        ck_assert_str_eq(row->id, visible->node->metadata->name);
        ck_assert_str_eq(row->name, visible->node->spec->name);
        ck_assert_str_eq(row->hostname, visible->node->spec->hostname);
        ck_assert_int_eq(row->last_seen_ns, visible->node->spec->last_seen_ns);
        ck_assert_int_gt(row->last_seen_ns, 0);
        ck_assert_str_eq(visible->node->spec->status, "offline");
        ck_assert_str_eq(c->mode, visible->node->spec->mode);
        ck_assert_str_eq(c->version, visible->node->spec->version);
        ck_assert_uint_eq(c->n_labels, visible->node->metadata->n_labels);
        ck_assert_str_eq(c->labels[0]->value, visible->node->metadata->labels[0]->value);
        ck_assert_uint_eq(c->n_logins, 1);
        ck_assert_str_eq(c->logins[0], "root");
        ck_assert_str_eq(visible->logins[0], "root");
    }
    ck_assert_str_eq(rows->classes[0]->labels[0]->value, "one"); /* the token's wins */
    pb__list_nodes_response__free_unpacked(rows, NULL);
    fixture_clear(&nodes.base);
}
END_TEST

/* What nobody has any more is kept for a while, not for ever. */
START_TEST(labels_that_change_and_change_do_not_pile_up)
{
    insert(1, 700, 4);
    char *names = names_of("node-700");
    for (int i = 0; i < 4; i++) {
        fixture_sql("UPDATE instances SET own_label_values ="
                    " ARRAY[own_label_values[1] || 'x' || id::text]");
        free(names);
        names = names_of("node-700");
        ck_assert_str_eq(names, "node-700");
    }
    free(names);
    ck_assert_uint_eq(whole_reads(), 3);
}
END_TEST

/* Each changes its node and finds it changed: nobody is given a reading that began before. */
static void *change_and_list(void *context)
{
    const int *number = context;
    PGconn *pg = PQconnectdb(fixture_settings()->database);
    PGresult *result = PQexec(pg, "SET search_path TO auth");
    PQclear(result);
    for (int i = 0; i < ROUNDS; i++) {
        struct rl_error why;
        const struct rl_inventory_view *view = NULL;
        char *sql =
            rl_sprintf("UPDATE instances SET hostname = 'h-%d' WHERE name = 'node-%d'", i, *number);
        PQclear(PQexec(pg, sql));
        free(sql);
        if (rl_inventory_enter(auth->inventory, &view, &why) != RL_OK)
            break;
        char *want = rl_sprintf("h-%d", i);
        bool is_there = strcmp(view->nodes[*number - 1]->hostname, want) == 0;
        rl_inventory_leave(auth->inventory);
        free(want);
        if (!is_there)
            break;
        if (i + 1 == ROUNDS)
            context = NULL;
    }
    PQfinish(pg);
    return context;
}

START_TEST(nobody_is_given_a_reading_from_before_the_question)
{
    pthread_t threads[LISTERS];
    int numbers[LISTERS];
    insert(1, LISTERS, 4);
    for (int i = 0; i < LISTERS; i++) {
        numbers[i] = i + 1;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, change_and_list, &numbers[i]), 0);
    }
    for (int i = 0; i < LISTERS; i++) {
        void *left = &numbers[i];
        pthread_join(threads[i], &left);
        ck_assert_ptr_null(left);
    }
    ck_assert_uint_eq(whole_reads(), 1);
}
END_TEST

START_TEST(changes_of_an_earlier_time_or_of_other_tables_are_not_taken)
{
    char incarnation[] = "a", other[] = "b";
    struct rl_changes all = {.incarnation = incarnation, .horizon = "1000"};
    struct rl_inventory_state *state = rl_inventory_state_create(&all);
    struct rl_changes later = {.incarnation = incarnation, .horizon = "1000"};
    ck_assert(rl_inventory_state_precedes(state, &later));
    ck_assert(rl_inventory_state_apply(state, &later));
    snprintf(later.horizon, sizeof later.horizon, "999");
    ck_assert(!rl_inventory_state_precedes(state, &later));
    snprintf(later.horizon, sizeof later.horizon, "%u", 1000u + (1u << 30));
    ck_assert(!rl_inventory_state_precedes(state, &later));
    snprintf(later.horizon, sizeof later.horizon, "x");
    ck_assert(!rl_inventory_state_precedes(state, &later));
    snprintf(later.horizon, sizeof later.horizon, "1001");
    ck_assert(rl_inventory_state_precedes(state, &later));
    later.incarnation = other;
    ck_assert(!rl_inventory_state_precedes(state, &later));
    later.incarnation = incarnation;
    later.instances = 1;
    ck_assert(!rl_inventory_state_apply(state, &later));
    rl_inventory_state_free(&state);
}
END_TEST

int main(void)
{
    TCase *t = tcase_create("inventory");
    tcase_add_checked_fixture(t, set_up, tear_down);
    tcase_add_test(t, a_list_has_what_was_committed_before_it);
    tcase_add_test(t, what_commits_late_is_not_missed_however_much_came_between);
    tcase_add_test(t, what_another_replica_writes_is_seen_at_once);
    tcase_add_test(t, a_node_is_online_while_one_of_its_holders_lives);
    tcase_add_test(t, rows_that_can_not_be_read_are_refused_and_nothing_of_them_is_kept);
    tcase_add_test(t, a_long_list_comes_in_pages_without_gaps_or_repeats);
    tcase_add_test(t, rows_and_nodes_say_the_same);
    tcase_add_test(t, labels_that_change_and_change_do_not_pile_up);
    tcase_add_test(t, nobody_is_given_a_reading_from_before_the_question);
    tcase_add_test(t, changes_of_an_earlier_time_or_of_other_tables_are_not_taken);
    /* The last: the server that it starts ends with it. */
    tcase_add_test(t, a_lost_connection_a_restart_and_other_tables_are_survived);
    return fixture_main("inventory", t);
}
