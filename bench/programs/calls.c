/* calls: how many of auth's dear calls are answered in a second.
 *
 *      bench_calls issue USER COUNT AT_ONCE     certificates for a user, by SignUser
 *      bench_calls login AT_ONCE                stdin: USER, PASSWORD and CODE, each on a line, for
 * each login
 *
 * By REMOTELER_AUTH_SERVER and REMOTELER_IDENTITY_FILE, as tctl. One JSON object on stdout; a call
 * that fails ends it with 1.
 */
#include "tctl.h"

#include "clock/clock.h"
#include "sshcert/sshkey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS 60000
#define LOGINS_MAX 4096

struct calls {
    struct rl_rpc_channel *channel;
    struct rl_buf tls_key, ssh_key; /* one pair for all: what is measured is auth's work */
    const char *user;               /* issue */
    char (*lines)[3][128];          /* login */
    size_t count, asked, done;
};

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_calls: %s: %s\n", what, why);
    exit(1);
}

static void make_keys(struct calls *calls)
{
    struct rl_error err;
    EVP_PKEY *tls = NULL, *ssh = NULL;
    rl_buf_init(&calls->tls_key, 4096);
    rl_buf_init(&calls->ssh_key, 4096);
    if (rl_key_generate_p256(&tls, &err) != RL_OK ||
        rl_key_to_spki(tls, &calls->tls_key, &err) != RL_OK ||
        rl_sshkey_generate(&ssh, &err) != RL_OK ||
        rl_sshkey_public_blob(ssh, &calls->ssh_key, &err) != RL_OK)
        fail("keys", err.message);
    EVP_PKEY_free(tls);
    EVP_PKEY_free(ssh);
}

static void ask_next(struct calls *calls);

static void on_done(void *context, rl_code code, const char *message, const ProtobufCMessage *reply)
{
    (void)reply;
    struct calls *calls = context;
    if (code != RL_OK)
        fail("a call", message);
    calls->done++;
    ask_next(calls);
}

static void ask_next(struct calls *calls)
{
    if (calls->asked == calls->count)
        return;
    size_t i = calls->asked++;
    ProtobufCBinaryData tls = {calls->tls_key.n, calls->tls_key.p};
    ProtobufCBinaryData ssh = {calls->ssh_key.n, calls->ssh_key.p};
    if (calls->user) {
        Pb__SignUserRequest request = PB__SIGN_USER_REQUEST__INIT;
        request.user = (char *)(uintptr_t)calls->user;
        request.ttl_s = 3600;
        request.tls_public_key = tls;
        request.ssh_public_key = ssh;
        rl_rpc_unary(calls->channel, &pb__admin__descriptor, "SignUser", &request.base, CALL_MS,
                     on_done, calls, NULL);
        return;
    }
    Pb__LoginRequest request = PB__LOGIN_REQUEST__INIT;
    request.user = calls->lines[i][0];
    request.password = calls->lines[i][1];
    request.otp = calls->lines[i][2];
    request.tls_public_key = tls;
    request.ssh_public_key = ssh;
    rl_rpc_unary(calls->channel, &pb__auth__descriptor, "Login", &request.base, CALL_MS, on_done,
                 calls, NULL);
}

static void run(struct calls *calls, struct rl_loop *loop, size_t at_once)
{
    rl_rpc_channel_connect(calls->channel);
    while (!rl_rpc_channel_is_up(calls->channel))
        rl_loop_turn(loop, 100);
    uint64_t start = rl_clock_boot_ms();
    for (size_t i = 0; i < at_once; i++)
        ask_next(calls);
    while (calls->done < calls->count)
        rl_loop_turn(loop, 1000);
    printf("{\"count\": %zu, \"seconds\": %.3f}\n", calls->count,
           (double)(rl_clock_boot_ms() - start) / 1e3);
}

/* Who logs in shows no certificate. */
static struct rl_rpc_channel *stranger(const struct tctl_client *client)
{
    struct rl_error err;
    struct rl_tls_client *tls = NULL;
    struct rl_rpc_channel *channel = NULL;
    char *sni = rl_sprintf("auth.%s" RL_TLS_SNI_SUFFIX, client->cluster);
    const struct rl_tls_client_config config = {
        .trust = client->trust,
        .alpn = "h2",
        .sni = sni,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = "auth",
    };
    if (rl_tls_client_create(&config, &tls, &err) != RL_OK)
        fail("TLS", err.message);
    const struct rl_rpc_channel_config how = {
        .loop = client->loop, .address = client->address, .tls = tls};
    if (rl_rpc_channel_create_h2(&how, &channel, &err) != RL_OK)
        fail("the channel", err.message);
    free(sni);
    return channel;
}

static void read_logins(struct calls *calls)
{
    calls->lines = rl_alloc_array(LOGINS_MAX, sizeof *calls->lines);
    while (calls->count < LOGINS_MAX &&
           scanf(" %127[^\n] %127[^\n] %127[^\n]", calls->lines[calls->count][0],
                 calls->lines[calls->count][1], calls->lines[calls->count][2]) == 3)
        calls->count++;
}

int main(int argc, char **argv)
{
    struct rl_error err;
    struct tctl_client client;
    struct calls calls = {0};
    bool is_issue = argc == 5 && strcmp(argv[1], "issue") == 0;
    if (!is_issue && !(argc == 3 && strcmp(argv[1], "login") == 0))
        fail("usage", "bench_calls issue USER COUNT AT_ONCE | login AT_ONCE");
    if (tctl_open(&client, &err) != RL_OK)
        fail("tctl's identity", err.message);
    make_keys(&calls);
    if (is_issue) {
        calls.user = argv[2];
        calls.count = strtoul(argv[3], NULL, 10);
        calls.channel = client.channel;
    } else {
        read_logins(&calls);
        calls.channel = stranger(&client);
    }
    run(&calls, client.loop, strtoul(argv[argc - 1], NULL, 10));
    return 0;
}
