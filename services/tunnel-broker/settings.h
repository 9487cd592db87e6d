/* The broker's settings. */
#ifndef BROKER_SETTINGS_H
#define BROKER_SETTINGS_H

#include "member/member.h"

struct broker_settings {
    struct rl_member_settings member;
    char *dial_listen;
    char *dial_advertise;
    char *attach_listen;
    char *attach_advertise;
    char *https_proxy;
    char *no_proxy;
    int64_t agents_max;
    int64_t attach_rate;
    int64_t stream_window_bytes;
};

extern const struct rl_settings_spec broker_settings_spec;

#endif
