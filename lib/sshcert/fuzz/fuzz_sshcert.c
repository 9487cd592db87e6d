/* Certificates, keys and lines as a stranger sends them: no crash, and what was read once is read
 * the same again. */
#include "fuzz.h"
#include "sshcert/sshcert.h"

#include <stdlib.h>

static void read_certificate(struct rl_span input)
{
    struct rl_sshcert cert;
    struct rl_error err;
    if (rl_sshcert_parse(input, &cert, &err) != RL_OK)
        return;
    rl_sshcert_verify(&cert, &cert.ca_key, 1, &err);
    rl_sshcert_check_user(&cert, "root", 1000, "10.1.2.3", &err);
    rl_sshcert_check_host(&cert, "node", 1000, &err);
    rl_sshcert_check_possession(&cert, cert.type_name, cert.signature, cert.signed_part, &err);
}

static void read_key(struct rl_span input)
{
    EVP_PKEY *key = NULL;
    if (rl_sshkey_public_parse(input, &key, NULL) == RL_OK) {
        struct rl_buf again;
        rl_buf_init(&again, RL_SSHKEY_BLOB_BYTES_MAX);
        struct rl_cursor c = rl_cursor_of(input);
        struct rl_span type = rl_cursor_string(&c);
        bool is_security_key = type.n > 3 && type.p[1] == 'k';
        FUZZ_EXPECT(rl_sshkey_public_blob(key, &again, NULL) == RL_OK &&
                    (is_security_key || rl_span_equal(rl_buf_span(&again), input)));
        rl_buf_fini(&again);
    }
    EVP_PKEY_free(key);
}

static void read_line(struct rl_span input)
{
    char *text = rl_span_to_string(input);
    struct rl_buf blob;
    rl_buf_init(&blob, RL_SSHCERT_BYTES_MAX);
    if (text && rl_sshkey_line_parse(text, &blob, NULL) == RL_OK)
        read_certificate(rl_buf_span(&blob));
    rl_buf_fini(&blob);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rl_span input = RL_SPAN(data, size);
    read_certificate(input);
    read_key(input);
    read_line(input);
    return 0;
}
