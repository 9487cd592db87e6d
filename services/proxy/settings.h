/* The proxy's settings. */
#ifndef PROXY_SETTINGS_H
#define PROXY_SETTINGS_H

#include "member/member.h"

struct proxy_settings {
    struct rl_member_settings member;
    struct rl_text_list listen;
    char *public_address;
    struct rl_text_list balancers;
    char *auth_proxied_address;
    char *audit_control_address;
    char *web_certificate, *web_key;
    int64_t connections_max;
    int64_t half_open_max;
    int64_t stream_window_bytes;
};

extern const struct rl_settings_spec proxy_settings_spec;

#endif
