/* hello: puts the handshake message together from its records, then reads it strictly. What OpenSSL
 * would read in another way must not pass here, or a route is chosen by what nobody meant: so
 * doubled extensions, second names and odd lengths are refused, and only what is unknown (GREASE,
 * RFC 8701) is stepped over. */
#include "tls/hello.h"

#include <string.h>

#define RECORD_HANDSHAKE 22
#define RECORD_HEADER_BYTES 5
#define RECORD_BYTES_MAX 16384
#define MESSAGE_CLIENT_HELLO 1
#define MESSAGE_HEADER_BYTES 4
#define EXTENSION_SERVER_NAME 0
#define EXTENSION_ALPN 16
#define EXTENSIONS_MAX 128
#define NAME_HOST 0

static enum rl_hello_result bad(struct rl_error *err, const char *why)
{
    rl_fail(err, RL_E_INVAL, "no ClientHello that can be served: %s", why);
    return RL_HELLO_BAD;
}

/* ---- records ---- */

struct message {
    uint8_t bytes[RL_HELLO_BYTES_MAX];
    size_t n;
};

/* The bytes that the whole message has, by its header; 0 when that is not there yet. */
static size_t message_size(const struct message *m)
{
    if (m->n < MESSAGE_HEADER_BYTES)
        return 0;
    return MESSAGE_HEADER_BYTES +
           ((size_t)m->bytes[1] << 16 | (size_t)m->bytes[2] << 8 | m->bytes[3]);
}

static enum rl_hello_result check_message(const struct message *m, struct rl_error *err)
{
    size_t size = message_size(m);
    if (m->n > 0 && m->bytes[0] != MESSAGE_CLIENT_HELLO)
        return bad(err, "another message comes first");
    if (size > sizeof m->bytes)
        return bad(err, "it is too long");
    if (size && m->n > size)
        return bad(err, "something follows it in its record");
    return size && m->n == size ? RL_HELLO_WHOLE : RL_HELLO_MORE;
}

/* Takes one record, or the part of it that is there. */
static enum rl_hello_result take_record(struct rl_cursor *c, struct message *m,
                                        struct rl_error *err)
{
    if (c->p[0] != RECORD_HANDSHAKE || (c->n > 1 && c->p[1] != 3))
        return bad(err, "this is not TLS");
    if (c->n < RECORD_HEADER_BYTES) {
        rl_cursor_bytes(c, c->n);
        return RL_HELLO_MORE;
    }
    rl_cursor_bytes(c, 3);
    size_t size = rl_cursor_u16(c);
    if (size == 0 || size > RECORD_BYTES_MAX)
        return bad(err, "a record has no allowed length");
    struct rl_span part = rl_cursor_bytes(c, size < c->n ? size : c->n);
    if (part.n > sizeof m->bytes - m->n)
        return bad(err, "it is too long");
    memcpy(m->bytes + m->n, part.p, part.n);
    m->n += part.n;
    return check_message(m, err);
}

static enum rl_hello_result take_records(struct rl_span bytes, struct message *m,
                                         struct rl_error *err)
{
    struct rl_cursor c = rl_cursor_of(bytes);
    enum rl_hello_result result = RL_HELLO_MORE;
    while (result == RL_HELLO_MORE && c.n > 0)
        result = take_record(&c, m, err);
    if (result == RL_HELLO_MORE && bytes.n >= RL_HELLO_BYTES_MAX)
        return bad(err, "it is too long");
    return result;
}

/* ---- extensions ---- */

static bool is_host_byte(uint8_t b)
{
    return (b >= 'a' && b <= 'z') || (b >= '0' && b <= '9') || b == '-' || b == '.';
}

static uint8_t lower(uint8_t b)
{
    return b >= 'A' && b <= 'Z' ? (uint8_t)(b - 'A' + 'a') : b;
}

/* Letters, digits, hyphens and single dots between them. */
static bool copy_host_name(struct rl_span name, char *out, size_t out_bytes)
{
    if (name.n == 0 || name.n >= out_bytes)
        return false;
    uint8_t before = '.';
    for (size_t i = 0; i < name.n; i++) {
        uint8_t b = lower(name.p[i]);
        if (!is_host_byte(b) || (b == '.' && before == '.'))
            return false;
        out[i] = (char)b;
        before = b;
    }
    out[name.n] = '\0';
    return before != '.';
}

static bool read_server_name(struct rl_span body, struct rl_client_hello *out)
{
    struct rl_cursor c = rl_cursor_of(body);
    size_t list = rl_cursor_u16(&c);
    if (c.failed || list != c.n)
        return false;
    uint8_t type = rl_cursor_u8(&c);
    struct rl_span name = rl_cursor_bytes(&c, rl_cursor_u16(&c));
    return rl_cursor_done(&c) && type == NAME_HOST &&
           copy_host_name(name, out->sni, sizeof out->sni);
}

/* Names that are no text of ours are stepped over: they choose no route. */
static void keep_protocol(struct rl_span name, struct rl_client_hello *out)
{
    if (name.n >= sizeof out->alpn[0] || memchr(name.p, 0, name.n))
        return;
    memcpy(out->alpn[out->alpn_count], name.p, name.n);
    out->alpn[out->alpn_count++][name.n] = '\0';
}

static bool read_alpn(struct rl_span body, struct rl_client_hello *out)
{
    struct rl_cursor c = rl_cursor_of(body);
    size_t list = rl_cursor_u16(&c);
    if (c.failed || list != c.n || list == 0)
        return false;
    while (c.n > 0) {
        struct rl_span name = rl_cursor_bytes(&c, rl_cursor_u8(&c));
        if (c.failed || name.n == 0 || out->alpn_count == RL_HELLO_ALPN_MAX)
            return false;
        keep_protocol(name, out);
    }
    return true;
}

static bool is_seen(uint16_t *seen, size_t *count, uint16_t type)
{
    for (size_t i = 0; i < *count; i++)
        if (seen[i] == type)
            return true;
    seen[(*count)++] = type;
    return false;
}

static const char *read_extensions(struct rl_cursor *c, struct rl_client_hello *out)
{
    uint16_t seen[EXTENSIONS_MAX];
    size_t count = 0;
    while (c->n > 0) {
        uint16_t type = rl_cursor_u16(c);
        struct rl_span body = rl_cursor_bytes(c, rl_cursor_u16(c));
        if (c->failed)
            return "its extensions do not add up";
        if (count == EXTENSIONS_MAX)
            return "it has too many extensions";
        if (is_seen(seen, &count, type))
            return "it has an extension twice";
        if (type == EXTENSION_SERVER_NAME && !read_server_name(body, out))
            return "its server name is no host name";
        if (type == EXTENSION_ALPN && !read_alpn(body, out))
            return "its list of protocols can not be read";
    }
    return NULL;
}

/* Returns what is wrong, or NULL. */
static const char *read_body(struct rl_span body, struct rl_client_hello *out)
{
    struct rl_cursor c = rl_cursor_of(body);
    rl_cursor_u16(&c); /* legacy_version */
    struct rl_span random = rl_cursor_bytes(&c, sizeof out->random);
    struct rl_span session = rl_cursor_bytes(&c, rl_cursor_u8(&c));
    struct rl_span ciphers = rl_cursor_bytes(&c, rl_cursor_u16(&c));
    struct rl_span compression = rl_cursor_bytes(&c, rl_cursor_u8(&c));
    if (c.failed || session.n > 32 || ciphers.n < 2 || ciphers.n % 2 || compression.n < 1)
        return "it is malformed";
    memcpy(out->random, random.p, random.n);
    if (c.n == 0)
        return NULL; /* no extensions: TLS 1.2 allowed that */
    size_t extensions = rl_cursor_u16(&c);
    if (c.failed || extensions != c.n)
        return "its extensions do not add up";
    return read_extensions(&c, out);
}

enum rl_hello_result rl_client_hello_parse(struct rl_span bytes, struct rl_client_hello *out,
                                           struct rl_error *err)
{
    struct message m = {.n = 0};
    struct rl_client_hello hello = {.alpn_count = 0};
    enum rl_hello_result result = take_records(bytes, &m, err);
    if (result != RL_HELLO_WHOLE)
        return result;
    const char *wrong =
        read_body(RL_SPAN(m.bytes + MESSAGE_HEADER_BYTES, m.n - MESSAGE_HEADER_BYTES), &hello);
    if (wrong)
        return bad(err, wrong);
    *out = hello;
    return RL_HELLO_WHOLE;
}
