/* The table that the tests of settings read by. */
#ifndef RL_SETTINGS_TESTS_TABLE_H
#define RL_SETTINGS_TESTS_TABLE_H

#include "settings/settings.h"

#include <stddef.h>

struct config {
    char *proxy;
    char *name;
    char *file;
    struct rl_text_list labels;
    struct rl_text_list listen;
    int64_t port;
    uint64_t ttl_s;
    bool verbose;
    bool recording;
};

#define AT(member) offsetof(struct config, member)

static const struct rl_setting rows[] = {
    {.name = "proxy",
     .type = RL_SETTING_ADDRESS,
     .offset = AT(proxy),
     .environment = "RL_TEST_PROXY",
     .help = "The proxy to go through",
     .letter = 'p'},
    {.name = "nodename",
     .type = RL_SETTING_TEXT,
     .offset = AT(name),
     .fallback = "node",
     .environment = "RL_TEST_NAME",
     .help = "What the node is called"},
    {.name = "config",
     .type = RL_SETTING_FILE,
     .offset = AT(file),
     .fallback = "/nonexistent/remoteler.yaml",
     .help = "The file of settings"},
    {.name = "labels",
     .type = RL_SETTING_LIST,
     .offset = AT(labels),
     .fallback = "a=1,b=2",
     .environment = "RL_TEST_LABELS",
     .help = "Labels of the node",
     .letter = 'L'},
    {.name = "listen",
     .type = RL_SETTING_ADDRESSES,
     .offset = AT(listen),
     .fallback = "0.0.0.0:443",
     .help = "Where it listens"},
    {.name = "port",
     .type = RL_SETTING_NUMBER,
     .offset = AT(port),
     .fallback = "443",
     .min = 1,
     .max = 65535,
     .help = "A port | a number"},
    {.name = "ttl",
     .type = RL_SETTING_DURATION,
     .offset = AT(ttl_s),
     .fallback = "12h",
     .min = 60,
     .max = 108000,
     .environment = "RL_TEST_TTL",
     .help = "How long it lasts"},
    {.name = "verbose",
     .type = RL_SETTING_SWITCH,
     .offset = AT(verbose),
     .help = "Say more",
     .letter = 'v'},
    {.name = "recording",
     .type = RL_SETTING_SWITCH,
     .offset = AT(recording),
     .fallback = "yes",
     .help = "Record sessions"},
};

static const struct rl_settings_spec spec = {.program = "tsh test",
                                             .summary = "Tests the table",
                                             .usage = "[flags] [NODE]",
                                             .example = "tsh test node-a\n.tsh 'x'",
                                             .rows = rows,
                                             .count = RL_COUNT(rows),
                                             .positional_max = 2,
                                             .file_setting = "config"};

#endif
