/* absent: what the libraries name, we never call, and a program for every device must not have: the
 * libc's name services and dlopen(), which would load the device's own files, patterns of file
 * names, and PCRE2's compiler to machine code. Defined here they find nothing, and the linker
 * takes none of the real ones. Static agent only. */
#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <netdb.h>
#include <pwd.h>
#include <stddef.h>

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    (void)name, (void)service, (void)hints, (void)out;
    return EAI_FAIL;
}

void freeaddrinfo(struct addrinfo *list)
{
    (void)list;
}

int getnameinfo(const struct sockaddr *address, socklen_t n, char *host, socklen_t host_n,
                char *service, socklen_t service_n, int flags)
{
    (void)address, (void)n, (void)host, (void)host_n, (void)service, (void)service_n, (void)flags;
    return EAI_FAIL;
}

struct hostent *gethostbyname(const char *name)
{
    (void)name;
    return NULL;
}

struct servent *getservbyname(const char *name, const char *protocol)
{
    (void)name, (void)protocol;
    return NULL;
}

int getservbyport_r(int port, const char *protocol, struct servent *entry, char *buffer, size_t n,
                    struct servent **out)
{
    (void)port, (void)protocol, (void)entry, (void)buffer, (void)n;
    *out = NULL;
    return ENOENT;
}

struct passwd *getpwnam(const char *name)
{
    (void)name;
    return NULL;
}

int getpwuid_r(uid_t uid, struct passwd *entry, char *buffer, size_t n, struct passwd **out)
{
    (void)uid, (void)entry, (void)buffer, (void)n;
    *out = NULL;
    return 0;
}

void *dlopen(const char *file, int mode)
{
    (void)file, (void)mode;
    return NULL;
}

void *dlsym(void *handle, const char *name)
{
    (void)handle, (void)name;
    return NULL;
}

int dlclose(void *handle)
{
    (void)handle;
    return -1;
}

char *dlerror(void)
{
    static char absent[] = "a static program loads nothing";
    return absent;
}

int dladdr(const void *address, Dl_info *info)
{
    (void)address, (void)info;
    return 0;
}

int glob(const char *pattern, int flags, int (*failed)(const char *path, int number), glob_t *out)
{
    (void)pattern, (void)flags, (void)failed, (void)out;
    return GLOB_NOMATCH;
}

void globfree(glob_t *found)
{
    (void)found;
}

/* ---- PCRE2's inner names; a pattern that was not compiled to machine code never gets here ---- */

void _pcre2_jit_free_8(void *code, void *memory);
void _pcre2_jit_free_8(void *code, void *memory)
{
    (void)code, (void)memory;
}

size_t _pcre2_jit_get_size_8(void *code);
size_t _pcre2_jit_get_size_8(void *code)
{
    (void)code;
    return 0;
}

const char *_pcre2_jit_get_target_8(void);
const char *_pcre2_jit_get_target_8(void)
{
    return "none";
}

int _pcre2_jit_check_exec_8(void);
int _pcre2_jit_check_exec_8(void)
{
    return 0;
}

#define PCRE2_ERROR_JIT_BADOPTION (-45)

int pcre2_jit_match_8(void);
int pcre2_jit_match_8(void)
{
    return PCRE2_ERROR_JIT_BADOPTION;
}
