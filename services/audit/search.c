/* search: an answer is read page by page on the searchers' threads and sent from the loop, the next
 * page when the one before has gone into the send queue. Who may see what, auth decides first, and
 * for those that follow again and again.
 *
 * A search belongs to the loop. While a thread has it (is_working), the loop leaves it alone but
 * for `call`, which goes when the caller does.
 */
#include "internal.h"

#include "db/search.h"
#include "log/log.h"
#include "query.h"

#include <stdio.h>
#include <stdlib.h>

#define MESSAGE_BYTES_MAX (512u << 10) /* but for one event that is larger */
#define CROWDED_MS 100                 /* until a place among the searchers is tried for again */

enum step { STEP_FIND, STEP_PAGE, STEP_NEWS };

struct search {
    struct rl_audit *audit;
    struct rl_rpc_call *call; /* NULL: it is over */
    struct audit_permission permission;
    struct rl_identity *caller;
    char *address;
    struct rl_audit_query query;
    bool is_asked, is_working;
    struct rl_timer *timer; /* for the next step */

    enum step step;
    rl_code rc;
    struct rl_error err;
    bool more; /* at STEP_FIND: older ones matched; at STEP_NEWS: there is another page */
    bool is_first;
    struct rl_audit_place place;
    struct rl_audit_heads heads;
    struct rl_audit_page page;
    size_t sent;   /* of the page */
    uint32_t left; /* of the limit */
};

static void take_step(void *context);
static void on_answer(void *context, enum audit_answer answer, const char *reason);

/* ---- life ---- */

static void release(struct search *search)
{
    if (search->call || search->permission.asking || search->is_working)
        return;
    search->audit->searches--;
    rl_metric_add(search->audit->metrics.following, -1);
    rl_audit_page_clear(&search->page);
    rl_audit_heads_fini(&search->heads);
    rl_audit_query_fini(&search->query);
    rl_timer_free(&search->timer);
    rl_identity_unref(&search->caller);
    free(search->address);
    free(search);
}

void audit_search_opened(struct rl_rpc_call *call, void *context)
{
    struct rl_audit *audit = context;
    if (audit->searches >= RL_AUDIT_SEARCHES_MAX) {
        rl_rpc_end(call, RL_E_EXHAUSTED, "too many searches run; try again later");
        return;
    }
    struct search *search = rl_alloc(sizeof *search);
    search->audit = audit;
    search->call = call;
    search->permission =
        (struct audit_permission){.audit = audit, .answered = on_answer, .context = search};
    search->caller = rl_identity_ref(rl_rpc_peer(call)->identity);
    search->address = rl_strdup(rl_rpc_peer(call)->address);
    search->timer = rl_timer_create(audit->config.loop, take_step, search);
    search->is_first = true;
    rl_rpc_set_data(call, search);
    audit->searches++;
    rl_metric_add(audit->metrics.searches, 1);
    rl_metric_add(audit->metrics.following, 1);
}

static void on_closed(struct rl_rpc_call *call, rl_code code, const char *message, void *context)
{
    (void)code;
    (void)message;
    (void)context;
    struct search *search = rl_rpc_data(call);
    if (!search)
        return;
    search->call = NULL;
    rl_timer_disarm(search->timer);
    if (search->permission.asking)
        rl_rpc_cancel(search->permission.asking);
    release(search);
}

/* `closed` follows. */
static void end(struct search *search, rl_code code, const char *message)
{
    if (search->call)
        rl_rpc_end(search->call, code, message);
}

/* What the database said is for our log; the caller is told what to do. */
static void end_by_fault(struct search *search)
{
    rl_log_error("a search failed", RL_TEXT("error", search->err.message),
                 RL_TEXT("caller", search->caller->name));
    struct rl_error err;
    audit_explain_fault(search->rc, &search->err, &err);
    end(search, err.code, err.message);
}

/* ---- may it? ---- */

static void on_answer(void *context, enum audit_answer answer, const char *reason)
{
    struct search *search = context;
    if (!search->call) {
        release(search);
    } else if (answer == AUDIT_DENIED) {
        end(search, RL_E_DENIED, *reason ? reason : "you may not read the audit log");
    } else if (answer == AUDIT_ALLOWED ||
               (search->step == STEP_NEWS && audit_permission_lasts(&search->permission))) {
        take_step(search); /* one that follows goes on for a while without auth */
    } else {
        end(search, RL_E_UNAVAILABLE, reason);
    }
}

/* Auth itself need not ask: lib/access lets no other service in. */
static bool must_ask(const struct search *search)
{
    return search->caller->kind == RL_IDENTITY_USER && audit_permission_is_due(&search->permission);
}

/* ---- sending ---- */

static Pb__SearchResponse next_message(const struct search *search)
{
    Pb__SearchResponse message = PB__SEARCH_RESPONSE__INIT;
    size_t bytes = 0;
    message.events = (Pb__Event **)(uintptr_t)(search->page.events + search->sent);
    while (search->sent + message.n_events < search->page.count) {
        bytes += pb__event__get_packed_size(message.events[message.n_events]);
        if (message.n_events && bytes > MESSAGE_BYTES_MAX)
            break;
        message.n_events++;
    }
    message.more_matched = search->is_first && search->more;
    return message;
}

/* Until the page is sent or the queue is full: `writable` comes back here. */
static void send_page(struct search *search)
{
    while (search->call && search->sent < search->page.count) {
        Pb__SearchResponse message = next_message(search);
        if (rl_rpc_send(search->call, &message.base, NULL) != RL_OK)
            return; /* full: `writable` follows; or over: `closed` does */
        search->sent += message.n_events;
        search->is_first = false;
    }
    if (search->call)
        rl_timer_arm(search->timer,
                     search->step == STEP_NEWS && !search->more ? RL_AUDIT_FOLLOW_MS : 0);
}

static void on_writable(struct rl_rpc_call *call, void *context)
{
    (void)context;
    struct search *search = rl_rpc_data(call);
    if (search && !search->is_working && search->sent < search->page.count)
        send_page(search);
}

/* ---- reading ---- */

static struct rl_audit_filter filter_of(const struct search *search)
{
    struct rl_audit_filter filter = search->query.filter;
    if (search->permission.own_only) {
        filter.own_user = search->caller->name;
        filter.own_cluster = search->caller->cluster;
    }
    return filter;
}

static rl_code read_step(struct search *search, struct rl_error *err)
{
    struct rl_store *store = search->audit->config.store;
    struct rl_audit_filter filter = filter_of(search);
    bool follow = search->query.follow;
    rl_code rc = RL_OK;
    switch (search->step) {
    case STEP_FIND:
        if (follow)
            rc = rl_audit_read_heads(store, audit_now_ns(search->audit), &search->heads, err);
        if (rc == RL_OK)
            rc = rl_audit_find_start(store, &filter, search->query.limit, &search->place,
                                     &search->more, err);
        break;
    case STEP_PAGE:
        rc = rl_audit_read_page(store, &filter, follow ? &search->heads : NULL, &search->place,
                                &search->page, err);
        break;
    case STEP_NEWS:
        rc = rl_audit_read_news(store, &filter, audit_now_ns(search->audit), &search->heads,
                                &search->page, &search->more, err);
        break;
    }
    return rc;
}

static void on_page(struct search *search)
{
    if (search->page.count == 0 || search->left == 0) {
        if (!search->query.follow) {
            end(search, RL_OK, NULL);
            return;
        }
        search->step = STEP_NEWS;
        search->is_first = false;
    }
    /* more than were there when the start was looked for */
    while (search->page.count > search->left)
        pb__event__free_unpacked(search->page.events[--search->page.count], NULL);
    search->left -= (uint32_t)search->page.count;
    send_page(search);
}

static void on_read(void *context)
{
    struct search *search = context;
    search->is_working = false;
    search->sent = 0;
    if (!search->call) {
        release(search);
        return;
    }
    if (search->rc != RL_OK && search->query.follow && search->step != STEP_FIND) {
        /* The database comes back; place and heads say how far we were. */
        rl_audit_page_clear(&search->page);
        rl_timer_arm(search->timer, RL_AUDIT_FOLLOW_MS);
    } else if (search->rc != RL_OK) {
        end_by_fault(search);
    } else if (search->step == STEP_FIND) {
        search->step = STEP_PAGE;
        search->left = search->query.limit;
        take_step(search);
    } else if (search->step == STEP_PAGE) {
        on_page(search);
    } else {
        send_page(search);
    }
}

static void work(void *context)
{
    struct search *search = context;
    search->rc = read_step(search, &search->err);
    rl_loop_post(search->audit->config.loop, on_read, search);
}

static void take_step(void *context)
{
    struct search *search = context;
    if (!search->call || search->is_working || search->permission.asking)
        return;
    if (must_ask(search)) {
        audit_permission_ask(&search->permission, search->caller, search->address, "event", "list");
        return;
    }
    search->is_working = true;
    if (rl_workers_submit(search->audit->config.searchers, work, search, NULL) != RL_OK) {
        search->is_working = false;
        rl_timer_arm(search->timer, CROWDED_MS);
    }
}

/* ---- the call ---- */

static void on_message(struct rl_rpc_call *call, const ProtobufCMessage *message, void *context)
{
    (void)context;
    struct search *search = rl_rpc_data(call);
    struct rl_error err;
    if (!search)
        return;
    if (search->is_asked) {
        end(search, RL_E_INVAL, "one request is one search");
        return;
    }
    search->is_asked = true;
    if (rl_audit_query_read((const Pb__SearchRequest *)message, &search->query, &err) != RL_OK)
        end(search, err.code, err.message);
    else
        take_step(search);
}

static void on_half_closed(struct rl_rpc_call *call, void *context)
{
    (void)context;
    struct search *search = rl_rpc_data(call);
    if (search && !search->is_asked)
        end(search, RL_E_INVAL, "what is searched for?");
}

const struct rl_rpc_stream_ops audit_search_ops = {
    .message = on_message,
    .half_closed = on_half_closed,
    .writable = on_writable,
    .closed = on_closed,
};
