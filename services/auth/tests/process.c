#include "process.h"

#include "status/status.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MS 30000
#define LINE_BYTES 4096

extern char **environ;

void process_start(struct process *process, const char *database, const char *key_file,
                   uint16_t health_port)
{
    int ends[2];
    posix_spawn_file_actions_t actions;
    *process = (struct process){.health_port = health_port};
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    char *d = rl_sprintf("--database=%s", database);
    char *k = rl_sprintf("--key-file=%s", key_file);
    char *h = rl_sprintf("--health-listen=127.0.0.1:%u", health_port);
    const char *argv[] = {AUTH_PROGRAM,
                          "run",
                          d,
                          k,
                          h,
                          "--listen=127.0.0.1:0",
                          "--proxied-listen=127.0.0.1:0",
                          "--control-listen=127.0.0.1:0",
                          NULL};
    char *copy[RL_COUNT(argv)];
    memcpy(copy, argv, sizeof copy);
    ck_assert_int_eq(posix_spawn(&process->pid, AUTH_PROGRAM, &actions, NULL, copy, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    process->log_fd = ends[0];
    free(d);
    free(k);
    free(h);
}

/* One line of the log, or a failure after WAIT_MS. */
static void read_line(struct process *process, char line[LINE_BYTES])
{
    size_t n = 0;
    while (n < LINE_BYTES - 1) {
        struct pollfd fd = {process->log_fd, POLLIN, 0};
        ck_assert_msg(poll(&fd, 1, WAIT_MS) == 1, "remoteler-auth says nothing");
        ck_assert_msg(read(process->log_fd, line + n, 1) == 1, "remoteler-auth has ended");
        if (line[n] == '\n')
            break;
        n++;
    }
    line[n] = '\0';
}

void process_wait_log(struct process *process, const char *text)
{
    char line[LINE_BYTES];
    do
        read_line(process, line);
    while (!strstr(line, text));
}

static uint16_t port_of(json_t *object, const char *key)
{
    return (uint16_t)json_integer_value(json_object_get(object, key));
}

void process_wait_serving(struct process *process)
{
    char line[LINE_BYTES];
    do
        read_line(process, line);
    while (!strstr(line, "auth serves"));
    json_t *object = json_loads(line, 0, NULL);
    ck_assert_ptr_nonnull(object);
    process->port = port_of(object, "port");
    process->proxied_port = port_of(object, "proxied_port");
    process->control_port = port_of(object, "control_port");
    json_decref(object);
}

int process_end(struct process *process)
{
    int status = 0;
    char rest[LINE_BYTES];
    kill(process->pid, SIGTERM);
    for (ssize_t n; (n = read(process->log_fd, rest, sizeof rest)) > 0;)
        fwrite(rest, 1, (size_t)n, stderr); /* so that it never waits for us */
    ck_assert_int_eq(waitpid(process->pid, &status, 0), process->pid);
    close(process->log_fd);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

int process_http_status(uint16_t port, const char *path)
{
    char answer[64] = "";
    int status = 0;
    int fd = connect_to(port);
    if (fd < 0)
        return 0;
    dprintf(fd, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    if (read(fd, answer, sizeof answer - 1) > 12)
        status = (int)strtol(answer + 9, NULL, 10);
    close(fd);
    return status;
}

uint16_t process_free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t n = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    close(fd);
    return ntohs(at.sin_port);
}
