#include "profile.h"
#include "file/file.h"

#include "clock/clock.h"
#include "names/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROFILES_MAX 64

/* ---- the home ---- */

static char *home_path(void)
{
    const char *chosen = getenv("TSH_HOME");
    if (chosen && chosen[0] == '/')
        return rl_strdup(chosen);
    if (chosen && chosen[0]) { /* OpenSSH's configuration needs absolute paths */
        char *here = getcwd(NULL, 0);
        char *path = rl_sprintf("%s/%s", here ? here : "", chosen);
        free(here);
        return path;
    }
    const struct passwd *me = getpwuid(getuid());
    return me ? rl_sprintf("%s/.tsh", me->pw_dir) : NULL;
}

static rl_code check_home(const char *path, struct rl_error *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return rl_fail_errno(err, errno == ENOENT ? RL_E_NOT_FOUND : RL_E_INVAL, "%s", path);
    if (!S_ISDIR(st.st_mode))
        return rl_fail(err, RL_E_INVAL, "%s is not a directory; set TSH_HOME to one", path);
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return rl_fail(err, RL_E_DENIED,
                       "others can write to %s, so they could put keys there: chmod 700 it, or set "
                       "TSH_HOME to another directory",
                       path);
    return RL_OK;
}

rl_code tsh_home(bool create, char **out, struct rl_error *err)
{
    char *path = home_path();
    if (!path)
        return rl_fail(err, RL_E_INVAL, "you have no home directory; set TSH_HOME");
    if (create && mkdir(path, 0700) != 0 && errno != EEXIST) {
        rl_fail_errno(err, RL_E_INVAL, "making %s", path);
        free(path);
        return RL_E_INVAL;
    }
    rl_code rc = check_home(path, err);
    if (rc == RL_E_NOT_FOUND)
        rc = rl_fail(err, RL_E_UNAUTHENTICATED, "not logged in; run tsh login --proxy=HOST:PORT");
    if (rc == RL_OK)
        *out = path;
    else
        free(path);
    return rc;
}

/* ---- profiles ---- */

/* "root.example.com:443" -> "root.example.com_443": what a host and port can have fits a file name.
 */
static rl_code name_of(const char *proxy, char **out, struct rl_error *err)
{
    char *host = NULL;
    uint16_t port = 0;
    rl_code rc = rl_address_split(proxy, &host, &port, err);
    if (rc != RL_OK)
        return rc;
    for (char *c = host; *c; c++)
        if (*c == ':' || *c == '/' || *c == '%')
            *c = '-';
    *out = rl_sprintf("%s_%u", host, port);
    free(host);
    return RL_OK;
}

char *tsh_profile_path(const struct tsh_profile *profile, const char *file)
{
    return rl_sprintf("%s/%s", profile->dir, file);
}

rl_code tsh_profile_load(struct tsh_profile *profile, struct rl_error *err)
{
    struct rl_buf text;
    rl_buf_init(&text, TSH_FILE_BYTES_MAX);
    char *path = tsh_profile_path(profile, "profile");
    rl_code rc = rl_file_read(path, &text, err);
    if (rc == RL_OK) {
        profile->status = json_loadb((const char *)text.p, text.n, 0, NULL);
        if (!json_is_object(profile->status))
            rc = rl_fail(err, RL_E_UNAUTHENTICATED, "%s is damaged; log in again", path);
    }
    free(path);
    rl_buf_fini(&text);
    return rc;
}

static rl_code read_current(const char *home, char **name, struct rl_error *err)
{
    struct rl_buf text;
    rl_buf_init(&text, TSH_FILE_BYTES_MAX);
    char *path = rl_sprintf("%s/current", home);
    rl_code rc = rl_file_read(path, &text, err);
    if (rc == RL_E_NOT_FOUND)
        rc = rl_fail(err, RL_E_UNAUTHENTICATED, "not logged in; run tsh login --proxy=HOST:PORT");
    if (rc == RL_OK) {
        *name = rl_strdup(rl_buf_text(&text));
        (*name)[strcspn(*name, "\n/")] = '\0';
    }
    free(path);
    rl_buf_fini(&text);
    return rc;
}

static rl_code open_dir(const char *proxy, bool create, struct tsh_profile *out,
                        struct rl_error *err)
{
    *out = (struct tsh_profile){0};
    rl_code rc = tsh_home(create, &out->home, err);
    if (rc == RL_OK)
        rc = proxy ? name_of(proxy, &out->name, err) : read_current(out->home, &out->name, err);
    if (rc == RL_OK)
        out->dir = rl_sprintf("%s/profiles/%s", out->home, out->name);
    else
        tsh_profile_fini(out);
    return rc;
}

rl_code tsh_profile_open(const char *proxy, struct tsh_profile *out, struct rl_error *err)
{
    rl_code rc = open_dir(proxy, false, out, err);
    if (rc != RL_OK)
        return rc;
    rc = tsh_profile_load(out, err);
    if (rc == RL_E_NOT_FOUND)
        rc =
            rl_fail(err, RL_E_UNAUTHENTICATED, "not logged in%s%s; run tsh login --proxy=HOST:PORT",
                    proxy ? " at " : "", proxy ? proxy : "");
    if (rc != RL_OK)
        tsh_profile_fini(out);
    return rc;
}

rl_code tsh_profile_create(const char *proxy, struct tsh_profile *out, struct rl_error *err)
{
    rl_code rc = open_dir(proxy, true, out, err);
    if (rc != RL_OK)
        return rc;
    char *profiles = rl_sprintf("%s/profiles", out->home);
    if ((mkdir(profiles, 0700) != 0 && errno != EEXIST) ||
        (mkdir(out->dir, 0700) != 0 && errno != EEXIST))
        rc = rl_fail_errno(err, RL_E_UNAVAILABLE, "making %s", out->dir);
    free(profiles);
    if (rc != RL_OK)
        tsh_profile_fini(out);
    else if (tsh_profile_load(out, NULL) != RL_OK)
        out->status = NULL;
    return rc;
}

void tsh_profile_fini(struct tsh_profile *profile)
{
    free(profile->home);
    free(profile->name);
    free(profile->dir);
    json_decref(profile->status);
    *profile = (struct tsh_profile){0};
}

const char *tsh_profile_text(const struct tsh_profile *profile, const char *key)
{
    const char *text = json_string_value(json_object_get(profile->status, key));
    return text ? text : "";
}

rl_code tsh_profile_check_valid(const struct tsh_profile *profile, struct rl_error *err)
{
    int64_t until = 0;
    const char *proxy = tsh_profile_text(profile, "proxy");
    if (!tsh_profile_text(profile, "valid_until")[0])
        return rl_fail(err, RL_E_UNAUTHENTICATED, "not logged in; run tsh login --proxy=%s", proxy);
    if (rl_clock_parse(tsh_profile_text(profile, "valid_until"), &until, err) != RL_OK ||
        until <= rl_clock_wall_ns())
        return rl_fail(err, RL_E_UNAUTHENTICATED, "login expired; run tsh login --proxy=%s", proxy);
    return RL_OK;
}

/* ---- keeping ---- */

static rl_code save_trust(const struct tsh_profile *profile, const Pb__TrustBundle *trust,
                          struct rl_error *err)
{
    size_t n = pb__trust_bundle__get_packed_size(trust);
    uint8_t *packed = rl_alloc(n);
    pb__trust_bundle__pack(trust, packed);
    char *path = tsh_profile_path(profile, "trust");
    rl_code rc = rl_file_write(path, RL_SPAN(packed, n), err);
    free(path);
    free(packed);
    return rc;
}

rl_code tsh_profile_save(struct tsh_profile *profile, json_t *status, const Pb__TrustBundle *trust,
                         struct rl_error *err)
{
    rl_code rc = trust ? save_trust(profile, trust, err) : RL_OK;
    if (rc != RL_OK)
        return rc;
    char *text = json_dumps(status, JSON_INDENT(2));
    char *path = tsh_profile_path(profile, "profile");
    rc = rl_file_write(path, rl_span_of(text), err);
    free(path);
    free(text);
    if (rc != RL_OK)
        return rc;
    json_decref(profile->status);
    profile->status = json_incref(status);
    return tsh_profile_set_current(profile, err);
}

rl_code tsh_profile_set_current(const struct tsh_profile *profile, struct rl_error *err)
{
    char *path = rl_sprintf("%s/current", profile->home);
    rl_code rc = rl_file_write(path, rl_span_of(profile->name), err);
    free(path);
    return rc;
}

rl_code tsh_profile_forget(struct tsh_profile *profile, struct rl_error *err)
{
    static const char *const files[] = {"tls.key",     "tls.pem", "id",     "id.pub",
                                        "id-cert.pub", "nodes",   "profile"};
    rl_code rc = RL_OK;
    for (size_t i = 0; i < RL_COUNT(files); i++) {
        char *path = tsh_profile_path(profile, files[i]);
        if (unlink(path) != 0 && errno != ENOENT && rc == RL_OK)
            rc = rl_fail_errno(err, RL_E_UNAVAILABLE, "removing %s", path);
        free(path);
    }
    return rc;
}

rl_code tsh_profile_trust(const struct tsh_profile *profile, Pb__TrustBundle **out,
                          struct rl_error *err)
{
    struct rl_buf packed;
    rl_buf_init(&packed, TSH_FILE_BYTES_MAX);
    char *path = tsh_profile_path(profile, "trust");
    rl_code rc = rl_file_read(path, &packed, err);
    if (rc == RL_OK) {
        Pb__TrustBundle *trust = pb__trust_bundle__unpack(NULL, packed.n, packed.p);
        if (trust)
            *out = trust;
        else
            rc = rl_fail(err, RL_E_INVAL, "%s is damaged; log in again with --ca-pin", path);
    }
    free(path);
    rl_buf_fini(&packed);
    return rc;
}

rl_code tsh_profile_names(const char *home, char ***out, struct rl_error *err)
{
    char *path = rl_sprintf("%s/profiles", home);
    DIR *dir = opendir(path);
    rl_code rc =
        dir || errno == ENOENT ? RL_OK : rl_fail_errno(err, RL_E_INVAL, "reading %s", path);
    free(path);
    if (rc != RL_OK)
        return rc;
    char **names = rl_alloc_array(PROFILES_MAX + 1, sizeof *names);
    size_t count = 0;
    const struct dirent *entry;
    while (dir && count < PROFILES_MAX && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            names[count++] = rl_strdup(entry->d_name);
    if (dir)
        closedir(dir);
    *out = names;
    return RL_OK;
}

void tsh_profile_names_free(char ***names)
{
    for (size_t i = 0; *names && (*names)[i]; i++)
        free((*names)[i]);
    free(*names);
    *names = NULL;
}
