#include "prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define LINE_BYTES_MAX 1024

static rl_code read_line(int fd, char line[LINE_BYTES_MAX], struct rl_error *err)
{
    size_t n = 0;
    while (n < LINE_BYTES_MAX - 1) {
        ssize_t got = read(fd, line + n, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 && n == 0)
            return rl_fail(err, RL_E_CANCELLED, "nothing was entered");
        if (got <= 0 || line[n] == '\n')
            break;
        n++;
    }
    line[n] = '\0';
    return RL_OK;
}

static rl_code ask(const char *question, const char *flag, bool hidden, char line[LINE_BYTES_MAX],
                   struct rl_error *err)
{
    struct termios before, quiet;
    int tty = open("/dev/tty", O_RDWR | O_CLOEXEC);
    if (tty < 0)
        return rl_fail(err, RL_E_INVAL, "no terminal to ask for \"%s\"; use %s", question, flag);
    bool is_quiet = hidden && tcgetattr(tty, &before) == 0;
    if (is_quiet) {
        quiet = before;
        quiet.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(tty, TCSAFLUSH, &quiet);
    }
    dprintf(tty, "%s: ", question);
    rl_code rc = read_line(tty, line, err);
    if (is_quiet) {
        tcsetattr(tty, TCSAFLUSH, &before);
        dprintf(tty, "\n");
    }
    close(tty);
    return rc;
}

rl_code tsh_prompt_secret(const char *question, const char *flag, struct rl_secret **out,
                          struct rl_error *err)
{
    char line[LINE_BYTES_MAX];
    rl_code rc = ask(question, flag, true, line, err);
    if (rc == RL_OK)
        *out = rl_secret_create(rl_span_of(line));
    rl_wipe(line, sizeof line);
    return rc;
}

rl_code tsh_prompt_line(const char *question, const char *flag, char **out, struct rl_error *err)
{
    char line[LINE_BYTES_MAX];
    rl_code rc = ask(question, flag, false, line, err);
    if (rc == RL_OK)
        *out = rl_strdup(line);
    return rc;
}

rl_code tsh_secret_from_file(const char *path, struct rl_secret **out, struct rl_error *err)
{
    char text[LINE_BYTES_MAX + 1];
    size_t n = 0;
    ssize_t got = 0;
    bool is_stdin = strcmp(path, "-") == 0;
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rl_fail_errno(err, RL_E_INVAL, "the password file %s", path);
    while (n < sizeof text && (got = read(fd, text + n, sizeof text - n)) > 0)
        n += (size_t)got;
    if (!is_stdin)
        close(fd);
    if (n && text[n - 1] == '\n')
        n--;
    rl_code rc = RL_OK;
    if (got < 0)
        rc = rl_fail_errno(err, RL_E_INVAL, "the password file %s", path);
    else if (n > LINE_BYTES_MAX || memchr(text, 0, n))
        rc = rl_fail(err, RL_E_INVAL, "%s does not hold one password", path);
    else
        *out = rl_secret_create(RL_SPAN(text, n));
    rl_wipe(text, sizeof text);
    return rc;
}

char *tsh_secret_text(const struct rl_secret *secret)
{
    struct rl_span s = rl_secret_reveal(secret);
    char *text = rl_alloc(s.n + 1);
    if (s.n)
        memcpy(text, s.p, s.n);
    return text;
}

void tsh_wipe_text(char **text)
{
    if (*text)
        rl_wipe(*text, strlen(*text));
    free(*text);
    *text = NULL;
}
