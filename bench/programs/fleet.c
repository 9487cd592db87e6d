/* bench_fleet PROXY AUTH CA_PIN TOKEN COUNT: joins and attaches COUNT agents, and stays;
 * bench_leaves with the same words: as many leaves, for as many uses of the token of a trusted
 * cluster. Lines on stdout, each with CLOCK_BOOTTIME in milliseconds: `joined`; `all` when all are
 * attached; `down` when the first of them is not any more. Ends with its stdin.
 */
#include "fleet.h"

#include "clock/clock.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

void fleet_fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_fleet: %s: %s\n", what, why);
    exit(1);
}

void fleet_open_auth(struct fleet *fleet)
{
    struct rl_error err;
    const struct rl_tls_client_config tls = {
        .pin = fleet->ca_pin,
        .alpn = "h2",
        .sni = "auth" RL_TLS_SNI_SUFFIX,
        .peer_kind = RL_IDENTITY_SERVICE,
        .peer_service = "auth",
    };
    if (rl_tls_client_create(&tls, &fleet->auth_tls, &err) != RL_OK)
        fleet_fail("TLS", err.message);
    const struct rl_rpc_channel_config channel = {
        .loop = fleet->loop, .address = fleet->auth, .tls = fleet->auth_tls};
    if (rl_rpc_channel_create_h2(&channel, &fleet->auth_channel, &err) != RL_OK)
        fleet_fail("the channel", err.message);
}

void fleet_close_auth(struct fleet *fleet)
{
    rl_rpc_channel_free(&fleet->auth_channel);
    rl_tls_client_unref(&fleet->auth_tls);
}

static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void on_stdin(void *context, int fd, unsigned events)
{
    (void)context;
    (void)events;
    char byte;
    if (read(fd, &byte, 1) <= 0)
        _exit(0);
}

int main(int argc, char **argv)
{
    struct rl_error err;
    struct rl_watch *watch = NULL;
    struct fleet fleet = {0};
    if (argc != 6)
        fleet_fail("usage", "bench_fleet PROXY AUTH CA_PIN TOKEN COUNT");
    signal(SIGPIPE, SIG_IGN);
    raise_descriptors();
    fleet.proxy = argv[1];
    fleet.auth = argv[2];
    fleet.ca_pin = argv[3];
    fleet.token = argv[4];
    fleet.count = strtoul(argv[5], NULL, 10);
    if (fleet.count == 0 || fleet.count > FLEET_MAX)
        fleet_fail("COUNT", "1..10000");
    fleet.agents = rl_alloc_array(fleet.count, sizeof *fleet.agents);
    if (rl_loop_create(&fleet.loop, &err) != RL_OK ||
        rl_watch_start(fleet.loop, STDIN_FILENO, RL_LOOP_READ, on_stdin, NULL, &watch, &err) !=
            RL_OK)
        fleet_fail("the loop", err.message);
    fleet_join(&fleet);
    printf("joined %llu\n", (unsigned long long)rl_clock_boot_ms());
    fflush(stdout);
    fleet_attach(&fleet);
    rl_loop_run(fleet.loop);
    return 0;
}
