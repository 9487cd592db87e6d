/* tls_tap: what a process that was started with it sends and gets by TLS, as it is before and
 * after, appended to the file that TLS_TAP names. For tests: the product has no such door.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct ssl_st SSL;

static void keep(const void *bytes, size_t n)
{
    static int fd = -2;
    if (fd == -2)
        fd = open(getenv("TLS_TAP"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (write(fd, bytes, n) != (ssize_t)n)
        abort(); /* a test that saw a part only proves nothing */
}

__attribute__((visibility("default"))) int SSL_write_ex(SSL *ssl, const void *bytes, size_t n,
                                                        size_t *written)
{
    static int (*real)(SSL *, const void *, size_t, size_t *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "SSL_write_ex");
    int result = real(ssl, bytes, n, written);
    if (result == 1)
        keep(bytes, *written);
    return result;
}

__attribute__((visibility("default"))) int SSL_read_ex(SSL *ssl, void *bytes, size_t n, size_t *got)
{
    static int (*real)(SSL *, void *, size_t, size_t *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "SSL_read_ex");
    int result = real(ssl, bytes, n, got);
    if (result == 1)
        keep(bytes, *got);
    return result;
}
