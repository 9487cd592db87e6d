/* report: how it stands with a root, as this broker sees it, told to auth: at each change, and now
 * and then while it does not stand well, because auth asks the root itself when it was turned away.
 */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

#define CHANGE_MS 100   /* so that what belongs together is one report */
#define REPEAT_MS 10000 /* while it is not attached */

static void send(void *context);

void root_report_init(struct root *root)
{
    root->report = rl_timer_create(root->roots->broker->config.loop, send, root);
}

void root_report_fini(struct root *root)
{
    root_call_forget(&root->reporting);
    rl_timer_free(&root->report);
}

struct root_call *root_call_begin(struct root *root)
{
    struct root_call *call = rl_alloc(sizeof *call);
    *call = (struct root_call){.root = root};
    return call;
}

struct root *root_call_end(struct root_call *call)
{
    struct root *root = call->root;
    free(call);
    return root;
}

void root_call_forget(struct root_call **call)
{
    if (*call) {
        (*call)->root = NULL;
        rl_rpc_cancel((*call)->call);
    }
    *call = NULL;
}

static bool is_attached(const struct root *root)
{
    bool any = false;
    for (size_t i = 0; i < ROOT_LINKS; i++)
        any = any || root->links[i].is_attached;
    return any;
}

static void on_sent(void *context, rl_code code, const char *message, const ProtobufCMessage *reply)
{
    (void)message; /* why auth is away the line to it says */
    (void)reply;
    struct root *root = root_call_end(context);
    if (!root)
        return;
    root->reporting = NULL;
    if (code != RL_E_CANCELLED && (code != RL_OK || !is_attached(root)))
        rl_timer_arm(root->report, REPEAT_MS);
}

static void send(void *context)
{
    struct root *root = context;
    if (root->reporting) {
        rl_timer_arm(root->report, CHANGE_MS);
        return;
    }
    Pb__ReportRootRequest request = PB__REPORT_ROOT_REQUEST__INIT;
    request.root = root->name;
    request.is_attached = is_attached(root);
    request.code = request.is_attached ? 0 : (uint32_t)root->report_code;
    request.message = request.is_attached ? request.message : root->report_message;
    root->reporting = root_call_begin(root);
    rl_rpc_unary(rl_control_channel(root->roots->broker->control), &pb__control__descriptor,
                 "ReportRoot", &request.base, RL_CONTROL_DEADLINE_MS, on_sent, root->reporting,
                 &root->reporting->call);
}

void root_report(struct root *root, rl_code code, const char *message)
{
    root->report_code = code;
    snprintf(root->report_message, sizeof root->report_message, "%s", message);
    rl_timer_arm(root->report, CHANGE_MS);
}
