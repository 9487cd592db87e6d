#include "prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int stopping[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP};

static volatile sig_atomic_t caught;

static void on_signal(int number)
{
    caught = number;
}

/* A terminal that shows again what is typed, whatever ends the question. */
struct hidden {
    int tty;
    struct termios before;
    struct sigaction actions[RL_COUNT(stopping)];
    sigset_t mask; /* of the time before; the signals come only while we wait for input */
};

static rl_code hide(struct hidden *hidden, int tty, struct rl_error *err)
{
    struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: read() ends */
    hidden->tty = tty;
    if (tcgetattr(tty, &hidden->before) != 0)
        return rl_fail_errno(err, RL_E_INVAL, "the terminal");
    caught = 0;
    sigset_t blocked;
    sigemptyset(&blocked);
    for (size_t i = 0; i < RL_COUNT(stopping); i++) {
        sigaddset(&blocked, stopping[i]);
        sigaction(stopping[i], &action, &hidden->actions[i]);
    }
    sigprocmask(SIG_BLOCK, &blocked, &hidden->mask);
    struct termios quiet = hidden->before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    tcsetattr(tty, TCSAFLUSH, &quiet);
    return RL_OK;
}

static void show(const struct hidden *hidden)
{
    tcsetattr(hidden->tty, TCSAFLUSH, &hidden->before);
    dprintf(hidden->tty, "\n");
    for (size_t i = 0; i < RL_COUNT(stopping); i++)
        sigaction(stopping[i], &hidden->actions[i], NULL);
    sigprocmask(SIG_SETMASK, &hidden->mask, NULL);
    if (caught)
        raise(caught);
}

/* `mask`: the signals that may end the wait; NULL: as they are. */
static rl_code read_line(int fd, const sigset_t *mask, char line[TSH_LINE_BYTES_MAX],
                         struct rl_error *err)
{
    size_t n = 0;
    while (n < TSH_LINE_BYTES_MAX - 1) {
        struct pollfd input = {.fd = fd, .events = POLLIN};
        ssize_t got = ppoll(&input, 1, NULL, mask) < 0 ? -1 : read(fd, line + n, 1);
        if (got < 0 && errno == EINTR && !caught)
            continue;
        if ((got < 0 && caught) || (got <= 0 && n == 0))
            return rl_fail(err, RL_E_CANCELLED, "nothing was entered");
        if (got <= 0 || line[n] == '\n')
            break;
        n++;
    }
    line[n] = '\0';
    return RL_OK;
}

static rl_code ask(const char *question, const char *flag, bool is_hidden,
                   char line[TSH_LINE_BYTES_MAX], struct rl_error *err)
{
    struct hidden hidden;
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (tty < 0)
        return rl_fail(err, RL_E_INVAL, "no terminal to ask for \"%s\"; use %s", question, flag);
    rl_code rc = is_hidden ? hide(&hidden, tty, err) : RL_OK;
    if (rc == RL_OK) {
        dprintf(tty, "%s: ", question);
        rc = read_line(tty, is_hidden ? &hidden.mask : NULL, line, err);
        if (is_hidden)
            show(&hidden);
    }
    close(tty);
    return rc;
}

rl_code tsh_prompt_secret(const char *question, const char *flag, struct rl_secret **out,
                          struct rl_error *err)
{
    char line[TSH_LINE_BYTES_MAX];
    rl_code rc = ask(question, flag, true, line, err);
    if (rc == RL_OK)
        *out = rl_secret_create(rl_span_of(line));
    rl_wipe(line, sizeof line);
    return rc;
}

rl_code tsh_prompt_line(const char *question, const char *flag, char **out, struct rl_error *err)
{
    char line[TSH_LINE_BYTES_MAX];
    rl_code rc = ask(question, flag, false, line, err);
    if (rc == RL_OK)
        *out = rl_strdup(line);
    rl_wipe(line, sizeof line);
    return rc;
}
