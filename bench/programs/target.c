/* target: the TCP server at the far end of every way that is measured. A connection's first line
 * says what it is for:
 *
 *      echo        what comes goes back
 *      send N      N bytes, then the end
 *      take N      reads N bytes, then says one byte
 *      flood       bytes for as long as somebody reads them
 *      drain       reads for as long as somebody writes
 *
 * One thread for each connection: it has nothing else to do. Prints its port.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES 65536
#define LINE_BYTES_MAX 64

static bool write_all(int fd, const char *bytes, size_t n)
{
    while (n) {
        ssize_t done = write(fd, bytes, n);
        if (done <= 0)
            return false;
        bytes += done;
        n -= (size_t)done;
    }
    return true;
}

/* By single bytes: what follows the line is not its own. */
static bool read_line(int fd, char line[LINE_BYTES_MAX])
{
    for (size_t n = 0; n < LINE_BYTES_MAX; n++) {
        if (read(fd, &line[n], 1) != 1)
            return false;
        if (line[n] == '\n') {
            line[n] = '\0';
            return true;
        }
    }
    return false;
}

static void echo(int fd, char *buffer)
{
    ssize_t n;
    while ((n = read(fd, buffer, BUFFER_BYTES)) > 0 && write_all(fd, buffer, (size_t)n))
        ;
}

static void send_bytes(int fd, char *buffer, uint64_t count)
{
    memset(buffer, 0, BUFFER_BYTES);
    while (count) {
        size_t n = count < BUFFER_BYTES ? (size_t)count : BUFFER_BYTES;
        if (!write_all(fd, buffer, n))
            return;
        count -= n;
    }
}

static void take_bytes(int fd, char *buffer, uint64_t count)
{
    ssize_t n = 1;
    while (count && (n = read(fd, buffer, BUFFER_BYTES)) > 0)
        count -= (uint64_t)n < count ? (uint64_t)n : count;
    if (!count)
        write_all(fd, ".", 1);
}

static void *serve(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char line[LINE_BYTES_MAX];
    char *buffer = malloc(BUFFER_BYTES);
    if (buffer && read_line(fd, line)) {
        if (strcmp(line, "echo") == 0)
            echo(fd, buffer);
        else if (strncmp(line, "send ", 5) == 0)
            send_bytes(fd, buffer, strtoull(line + 5, NULL, 10));
        else if (strncmp(line, "take ", 5) == 0)
            take_bytes(fd, buffer, strtoull(line + 5, NULL, 10));
        else if (strcmp(line, "flood") == 0)
            send_bytes(fd, buffer, UINT64_MAX);
        else if (strcmp(line, "drain") == 0)
            take_bytes(fd, buffer, UINT64_MAX);
    }
    free(buffer);
    close(fd);
    return NULL;
}

static int listen_on_loopback(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, n) != 0 || listen(fd, 512) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) != 0) {
        perror("target");
        exit(1);
    }
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on_loopback();
    for (;;) {
        pthread_t thread;
        int one = 1, fd = accept(listener, NULL, NULL);
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
        else
            close(fd);
    }
}
