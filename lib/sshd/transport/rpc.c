/* rpc: one question at a time to the monitor; what it says by itself is taken between. */
#include "internal.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define EXIT_MONITOR_GONE 3

uint64_t rl_transport_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void take_exit(struct transport *t)
{
    struct rl_cursor c = rl_wire_fields(&t->message);
    uint32_t id = rl_cursor_u32(&c);
    uint32_t code = rl_cursor_u32(&c);
    uint32_t number = rl_cursor_u32(&c);
    struct channel *channel = rl_channel_by_id(t, id);
    if (!rl_cursor_done(&c) || !channel)
        return;
    channel->has_exited = true;
    channel->exit_code = code;
    channel->exit_signal = number;
}

static void take_end(struct transport *t)
{
    struct rl_cursor c = rl_wire_fields(&t->message);
    rl_wire_text(&c, t->end_text, sizeof t->end_text);
    t->is_ending = true;
}

static void take_connected(struct transport *t)
{
    struct rl_cursor c = rl_wire_fields(&t->message);
    uint32_t id = rl_cursor_u32(&c);
    rl_forward_connected(t, id, &t->message);
}

/* False when the message is no notice but an answer. */
static bool take_notice(struct transport *t)
{
    switch (rl_wire_type(&t->message)) {
    case RL_WIRE_EXIT:
        take_exit(t);
        return true;
    case RL_WIRE_END:
        take_end(t);
        return true;
    case RL_WIRE_ACCEPTED:
        rl_forward_accepted(t, &t->message);
        return true;
    case RL_WIRE_CONNECTED:
        take_connected(t);
        return true;
    default:
        return false;
    }
}

enum rl_wire_type rl_monitor_ask(struct transport *t)
{
    if (!rl_wire_send(RL_ROOM_FD_SECOND, &t->message))
        _exit(EXIT_MONITOR_GONE);
    do {
        if (rl_wire_receive(RL_ROOM_FD_SECOND, &t->message, 0) != RL_WIRE_GOT)
            _exit(EXIT_MONITOR_GONE);
    } while (take_notice(t));
    return (enum rl_wire_type)rl_wire_type(&t->message);
}

void rl_monitor_tell(struct transport *t)
{
    if (!rl_wire_send(RL_ROOM_FD_SECOND, &t->message))
        _exit(EXIT_MONITOR_GONE);
}

bool rl_monitor_listen(struct transport *t)
{
    if (rl_wire_receive(RL_ROOM_FD_SECOND, &t->message, 0) != RL_WIRE_GOT)
        return false;
    return take_notice(t);
}
