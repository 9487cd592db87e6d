#include "clock/clock.h"
#include "event/event.h"
#include "judge.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define CLUSTER "main.example.com"
#define ME "0190c0de-0000-7000-8000-0000000000a1"
#define OTHER "0190c0de-0000-7000-8000-0000000000a2"

static struct rl_error err;

static rl_code judge_as(const char *service, enum rl_identity_kind kind, Pb__Event *event)
{
    struct rl_identity writer = {.kind = kind,
                                 .cluster = (char *)(uintptr_t)CLUSTER,
                                 .name = (char *)(uintptr_t)ME,
                                 .service = (char *)(uintptr_t)service};
    memset(&err, 0, sizeof err);
    return rl_audit_judge(CLUSTER, &writer, event, &err);
}

static Pb__Event *good_event(const char *type)
{
    Pb__Event *event = rl_event_create(type, "success", rl_clock_wall_ns());
    rl_event_set(&event->cluster, CLUSTER);
    rl_event_set(&event->resource_kind, "node");
    rl_event_set(&event->resource_id, ME);
    return event;
}

START_TEST(each_writer_has_its_types_and_no_others)
{
    static const struct {
        const char *type;
        const char *writers; /* a: agent, b: broker, p: proxy */
    } rows[] = {
        {"session.start", "ap"},
        {"session.end", "ap"},
        {"session.command", "ap"},
        {"sftp", "a"},
        {"port.forward", "ap"},
        {"client.disconnect", "ap"},
        {"kube.request", "ap"},
        {"app.session.start", "ap"},
        {"proxy.dial", "p"},
        {"instance.attach", "b"},
        {"instance.join", "b"},
        {"user.login", ""},
        {"user.password", ""},
        {"cert.issue", ""},
        {"token.use", ""},
        {"role.create", ""},
        {"lock.create", ""},
        {"config.update", ""},
        {"trusted_cluster.create", ""},
        {"auth.rotate", ""},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        Pb__Event *event = good_event(rows[i].type);
        ck_assert_msg(judge_as("auth", RL_IDENTITY_SERVICE, event) == RL_OK, "%s", err.message);
        ck_assert_msg((judge_as(NULL, RL_IDENTITY_AGENT, event) == RL_OK) ==
                          (strchr(rows[i].writers, 'a') != NULL),
                      "agent, %s: %s", rows[i].type, err.message);
        ck_assert_msg((judge_as("broker", RL_IDENTITY_SERVICE, event) == RL_OK) ==
                          (strchr(rows[i].writers, 'b') != NULL),
                      "broker, %s: %s", rows[i].type, err.message);
        ck_assert_msg((judge_as("proxy", RL_IDENTITY_SERVICE, event) == RL_OK) ==
                          (strchr(rows[i].writers, 'p') != NULL),
                      "proxy, %s: %s", rows[i].type, err.message);
        ck_assert_int_eq(judge_as("audit", RL_IDENTITY_SERVICE, event), RL_E_DENIED);
        ck_assert_int_eq(judge_as(NULL, RL_IDENTITY_USER, event), RL_E_DENIED);
        rl_event_free(&event);
    }
}
END_TEST

START_TEST(an_agent_writes_about_itself_only)
{
    Pb__Event *event = good_event("session.start");
    ck_assert_int_eq(judge_as(NULL, RL_IDENTITY_AGENT, event), RL_OK);
    rl_event_set(&event->resource_id, OTHER);
    ck_assert_int_eq(judge_as(NULL, RL_IDENTITY_AGENT, event), RL_E_DENIED);
    ck_assert_ptr_nonnull(strstr(err.message, "about itself only"));
    rl_event_set(&event->resource_id, "");
    ck_assert_int_eq(judge_as(NULL, RL_IDENTITY_AGENT, event), RL_E_DENIED);
    rl_event_set(&event->resource_id, ME);
    rl_event_set(&event->resource_kind, "user");
    ck_assert_int_eq(judge_as(NULL, RL_IDENTITY_AGENT, event), RL_E_DENIED);
    rl_event_set(&event->resource_kind, "app"); /* sessions are on nodes */
    ck_assert_int_eq(judge_as(NULL, RL_IDENTITY_AGENT, event), RL_E_DENIED);
    rl_event_free(&event);
}
END_TEST

START_TEST(an_agent_writes_about_the_apps_and_clusters_that_it_serves)
{
    static const char *const rows[][3] = {
        {"app.request", "app", "kube_cluster"},
        {"kube.request", "kube_cluster", "app"},
    };
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        Pb__Event *event = good_event(rows[i][0]);
        rl_event_set(&event->resource_kind, rows[i][1]);
        ck_assert_int_eq(judge_as(NULL, RL_IDENTITY_AGENT, event), RL_OK);
        rl_event_set(&event->resource_kind, rows[i][2]);
        ck_assert_int_eq(judge_as(NULL, RL_IDENTITY_AGENT, event), RL_E_DENIED);
        rl_event_free(&event);
    }
}
END_TEST

START_TEST(another_clusters_event_is_refused)
{
    Pb__Event *event = good_event("session.start");
    rl_event_set(&event->cluster, "other.example.com");
    ck_assert_int_eq(judge_as("auth", RL_IDENTITY_SERVICE, event), RL_E_DENIED);
    rl_event_set(&event->cluster, "");
    ck_assert_int_eq(judge_as("auth", RL_IDENTITY_SERVICE, event), RL_E_DENIED);
    rl_event_free(&event);
}
END_TEST

static rl_code judge_details(const char *json)
{
    Pb__Event *event = good_event("session.start");
    free(event->details_json);
    event->details_json = rl_strdup(json);
    rl_code rc = judge_as(NULL, RL_IDENTITY_AGENT, event);
    rl_event_free(&event);
    return rc;
}

START_TEST(details_are_an_object)
{
    ck_assert_int_eq(judge_details(""), RL_OK);
    ck_assert_int_eq(judge_details("{}"), RL_OK);
    ck_assert_int_eq(judge_details("{\"path\": \"/etc\"}"), RL_OK);
    ck_assert_int_eq(judge_details("[]"), RL_E_INVAL);
    ck_assert_int_eq(judge_details("\"text\""), RL_E_INVAL);
    ck_assert_int_eq(judge_details("{"), RL_E_INVAL);
    ck_assert_int_eq(judge_details("{} {}"), RL_E_INVAL);
    ck_assert_int_eq(judge_details("{\"a\":1,\"a\":2}"), RL_E_INVAL);
}
END_TEST

/* Unknown fields come from a newer writer and are kept, so they count. */
START_TEST(an_event_has_a_size)
{
    Pb__Event *event = good_event("session.start");
    size_t room = RL_AUDIT_EVENT_BYTES_MAX - pb__event__get_packed_size(event);
    ProtobufCMessageUnknownField field = {.tag = 1000,
                                          .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED};
    field.data = rl_alloc(room);
    event->base.unknown_fields = &field;
    event->base.n_unknown_fields = 1;
    field.len = room - 2; /* two bytes of tag */
    ck_assert_uint_eq(pb__event__get_packed_size(event), RL_AUDIT_EVENT_BYTES_MAX);
    ck_assert_int_eq(judge_as(NULL, RL_IDENTITY_AGENT, event), RL_OK);
    field.len++;
    ck_assert_int_eq(judge_as(NULL, RL_IDENTITY_AGENT, event), RL_E_INVAL);
    free(field.data);
    event->base.unknown_fields = NULL;
    event->base.n_unknown_fields = 0;
    rl_event_free(&event);
}
END_TEST

START_TEST(a_clock_is_wrong_beyond_an_hour_late_and_five_minutes_early)
{
    int64_t now = 1800000000 * INT64_C(1000000000);
    ck_assert(!rl_audit_clock_is_wrong(now, now));
    ck_assert(!rl_audit_clock_is_wrong(now - RL_AUDIT_LATE_NS_MAX, now));
    ck_assert(rl_audit_clock_is_wrong(now - RL_AUDIT_LATE_NS_MAX - 1, now));
    ck_assert(!rl_audit_clock_is_wrong(now + RL_AUDIT_EARLY_NS_MAX, now));
    ck_assert(rl_audit_clock_is_wrong(now + RL_AUDIT_EARLY_NS_MAX + 1, now));
    ck_assert(rl_audit_clock_is_wrong(INT64_MIN, now));
    ck_assert(rl_audit_clock_is_wrong(INT64_MAX, now));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("judge");
    TCase *tcase = tcase_create("judge");
    tcase_add_test(tcase, each_writer_has_its_types_and_no_others);
    tcase_add_test(tcase, an_agent_writes_about_itself_only);
    tcase_add_test(tcase, an_agent_writes_about_the_apps_and_clusters_that_it_serves);
    tcase_add_test(tcase, another_clusters_event_is_refused);
    tcase_add_test(tcase, details_are_an_object);
    tcase_add_test(tcase, an_event_has_a_size);
    tcase_add_test(tcase, a_clock_is_wrong_beyond_an_hour_late_and_five_minutes_early);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
