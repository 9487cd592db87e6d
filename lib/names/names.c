/* names: the patterns, each as a first, a middle and a last set of characters with a length. A name
 * is shown in the message only after it was made printable: it may come from anybody.
 */
#include "names/names.h"

#include "bytes/utf8.h"

#include <stdlib.h>
#include <string.h>

#define NODE_BYTES_MAX 63
#define CLUSTER_BYTES_MAX 253
#define USER_BYTES_MAX 64
#define LOGIN_BYTES_MAX 32
#define RESOURCE_BYTES_MAX 63
#define LABEL_VALUE_BYTES_MAX 256

/* What a character is, as a bit. */
enum {
    LOWER = 1,
    UPPER = 2,
    DIGIT = 4,
    DASH = 8,
    DOT = 16,
    UNDERSCORE = 32,
    SLASH = 64,
    AT_OR_PLUS = 128,
    ALNUM = LOWER | UPPER | DIGIT,
};
static const uint8_t kinds[256] = {
    ['a' ... 'z'] = LOWER, ['A' ... 'Z'] = UPPER, ['0' ... '9'] = DIGIT,
    ['-'] = DASH,          ['.'] = DOT,           ['_'] = UNDERSCORE,
    ['/'] = SLASH,         ['@'] = AT_OR_PLUS,    ['+'] = AT_OR_PLUS,
};

struct pattern {
    uint8_t first, middle, last;
    size_t bytes_max;
    const char *says;
};

static const struct pattern node_pattern = {
    LOWER | DIGIT, LOWER | DIGIT | DASH, LOWER | DIGIT, NODE_BYTES_MAX,
    "1 to 63 of a-z, 0-9 and -, with a letter or digit at both ends"};
static const struct pattern user_pattern = {
    ALNUM, ALNUM | DOT | UNDERSCORE | AT_OR_PLUS | DASH, ALNUM, USER_BYTES_MAX,
    "1 to 64 of letters, digits and . _ @ + -, with a letter or digit at both ends"};
static const struct pattern login_pattern = {
    UPPER | LOWER | UNDERSCORE, ALNUM | DOT | UNDERSCORE | DASH, ALNUM | DOT | UNDERSCORE | DASH,
    LOGIN_BYTES_MAX, "1 to 32 of letters, digits and . _ -, with a letter or _ first"};
static const struct pattern resource_pattern = {
    ALNUM, ALNUM | DOT | UNDERSCORE | DASH, ALNUM | DOT | UNDERSCORE | DASH, RESOURCE_BYTES_MAX,
    "1 to 63 of letters, digits and . _ -, with a letter or digit first"};
static const struct pattern label_key_pattern = {
    ALNUM, ALNUM | DOT | UNDERSCORE | SLASH | DASH, ALNUM | DOT | UNDERSCORE | SLASH | DASH,
    RESOURCE_BYTES_MAX, "1 to 63 of letters, digits and . _ / -, with a letter or digit first"};

static bool is_one_of(char c, uint8_t wanted)
{
    return kinds[(uint8_t)c] & wanted;
}

static bool matches(const struct pattern *pattern, const char *name, size_t n)
{
    if (n == 0 || n > pattern->bytes_max || !is_one_of(name[0], pattern->first))
        return false;
    for (size_t i = 1; i + 1 < n; i++)
        if (!is_one_of(name[i], pattern->middle))
            return false;
    return n == 1 || is_one_of(name[n - 1], pattern->last);
}

static rl_code refuse(const char *what, const char *name, const char *says, struct rl_error *err)
{
    char *shown = rl_name_printable(name);
    rl_fail(err, RL_E_INVAL, "\"%.80s\" is not a %s: %s", shown, what, says);
    free(shown);
    return RL_E_INVAL;
}

static rl_code check(const char *what, const struct pattern *pattern, const char *name, size_t n,
                     struct rl_error *err)
{
    return matches(pattern, name, n) ? RL_OK : refuse(what, name, pattern->says, err);
}

rl_code rl_name_check_node(const char *name, struct rl_error *err)
{
    return check("node name", &node_pattern, name, strlen(name), err);
}

static bool ends_with(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

rl_code rl_name_check_cluster(const char *name, struct rl_error *err)
{
    if (strcmp(name, "remoteler.internal") == 0 || ends_with(name, ".remoteler.internal"))
        return refuse("cluster name", name, "remoteler.internal is kept for inner routes", err);
    bool is_good = strlen(name) <= CLUSTER_BYTES_MAX;
    const char *label = name;
    for (bool is_last = false; is_good && !is_last;) {
        size_t n = strcspn(label, ".");
        is_good = matches(&node_pattern, label, n);
        is_last = label[n] == '\0';
        label += n + 1;
    }
    return is_good ? RL_OK
                   : refuse("cluster name", name,
                            "labels of a-z, 0-9 and \"-\" joined by dots, at most 253 bytes", err);
}

rl_code rl_name_check_user(const char *name, struct rl_error *err)
{
    return check("user name", &user_pattern, name, strlen(name), err);
}

rl_code rl_name_check_login(const char *name, struct rl_error *err)
{
    size_t n = strlen(name);
    bool has_dollar = n > 1 && name[n - 1] == '$'; /* a machine account of a Windows domain */
    return check("login", &login_pattern, name, has_dollar ? n - 1 : n, err);
}

rl_code rl_name_check_resource(const char *name, struct rl_error *err)
{
    return check("resource name", &resource_pattern, name, strlen(name), err);
}

static bool is_plain_text(const char *text, size_t n)
{
    while (n) {
        uint32_t point;
        size_t length = rl_utf8_next(text, n, &point);
        if (length == 0 || rl_utf8_is_control(point))
            return false;
        text += length;
        n -= length;
    }
    return true;
}

rl_code rl_name_check_label(const char *key, const char *value, struct rl_error *err)
{
    if (!matches(&label_key_pattern, key, strlen(key)))
        return refuse("label's key", key, label_key_pattern.says, err);
    size_t n = strlen(value);
    if (n > LABEL_VALUE_BYTES_MAX || !is_plain_text(value, n))
        return refuse("label's value", value,
                      "at most 256 bytes of UTF-8 without control characters", err);
    return RL_OK;
}

char *rl_name_printable(const char *text)
{
    size_t n = strlen(text);
    char *out = rl_alloc(n + 1); /* a "?" is never longer than what it stands for */
    size_t used = 0;
    while (n) {
        uint32_t point;
        size_t length = rl_utf8_next(text, n, &point);
        bool is_good = length > 0 && !rl_utf8_is_control(point);
        size_t taken = length ? length : 1;
        if (is_good)
            memcpy(out + used, text, taken);
        else
            out[used] = '?';
        used += is_good ? taken : 1;
        text += taken;
        n -= taken;
    }
    return out;
}
