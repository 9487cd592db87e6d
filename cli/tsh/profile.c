/* profile: what is read here goes on into OpenSSH's configuration and into SNIs, so a file that
 * says what such names can not be is damaged, whoever wrote it.
 */
#include "profile.h"

#include "clock/clock.h"
#include "file/file.h"
#include "names/names.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROFILES_MAX 64

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

static bool is_address(const char *text)
{
    char *host = NULL;
    uint16_t port = 0;
    bool is_one = text && rl_address_split(text, &host, &port, NULL) == RL_OK;
    free(host);
    return is_one;
}

static bool is_status(const json_t *status)
{
    const char *cluster = json_string_value(json_object_get(status, "cluster"));
    return is_address(json_string_value(json_object_get(status, "proxy"))) && cluster &&
           rl_name_check_cluster(cluster, NULL) == RL_OK;
}

rl_code tsh_profile_load(struct tsh_profile *profile, struct rl_error *err)
{
    struct rl_buf text;
    rl_buf_init(&text, TSH_FILE_BYTES_MAX);
    char *path = tsh_profile_path(profile, "profile");
    rl_code rc = rl_file_read(path, &text, err);
    if (rc == RL_OK) {
        json_t *status = json_loadb((const char *)text.p, text.n, 0, NULL);
        if (is_status(status)) {
            json_decref(profile->status);
            profile->status = status;
        } else {
            json_decref(status);
            rc = rl_fail(err, RL_E_UNAUTHENTICATED, "%s is damaged; log in again", path);
        }
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
    if (rc == RL_OK)
        (void)tsh_profile_load(out, NULL); /* the last login's, where there was one */
    else
        tsh_profile_fini(out);
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

rl_code tsh_profile_save_trust(const struct tsh_profile *profile, const Pb__TrustBundle *trust,
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
    rl_code rc = trust ? tsh_profile_save_trust(profile, trust, err) : RL_OK;
    if (rc != RL_OK)
        return rc;
    char *text = json_dumps(status, JSON_INDENT(2));
    char *path = tsh_profile_path(profile, "profile");
    rc = rl_file_write(path, rl_span_of(text), err);
    free(path);
    free(text);
    if (rc != RL_OK)
        return rc;
    json_incref(status); /* it may be the one that goes */
    json_decref(profile->status);
    profile->status = status;
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
    static const char *const files[] = {"tls.key", "tls.pem", "id",       "id.pub", "id-cert.pub",
                                        "nodes",   "leaves",  "selected", "profile"};
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

static rl_code list_names(DIR *dir, const char *path, char **names, size_t *count,
                          struct rl_error *err)
{
    const struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        if (*count == PROFILES_MAX)
            return rl_fail(err, RL_E_EXHAUSTED, "more than %d profiles in %s; remove some",
                           PROFILES_MAX, path);
        names[(*count)++] = rl_strdup(entry->d_name);
    }
    return RL_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A name that two profiles know means the current one's. */
static void current_first(const char *home, char **names, size_t count)
{
    char *current = NULL;
    qsort(names, count, sizeof *names, compare_names);
    if (read_current(home, &current, NULL) != RL_OK)
        return;
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], current) == 0) {
            char *first = names[i];
            memmove(names + 1, names, i * sizeof *names);
            names[0] = first;
            break;
        }
    free(current);
}

rl_code tsh_profile_names(const char *home, char ***out, struct rl_error *err)
{
    char *path = rl_sprintf("%s/profiles", home);
    char **names = NULL;
    size_t count = 0;
    DIR *dir = opendir(path);
    rl_code rc =
        dir || errno == ENOENT ? RL_OK : rl_fail_errno(err, RL_E_INVAL, "reading %s", path);
    if (rc != RL_OK)
        goto out;
    names = rl_alloc_array(PROFILES_MAX + 1, sizeof *names);
    rc = list_names(dir, path, names, &count, err);
    if (rc == RL_OK) {
        current_first(home, names, count);
        *out = names;
        names = NULL;
    }
out:
    if (dir)
        closedir(dir);
    tsh_profile_names_free(&names);
    free(path);
    return rc;
}

void tsh_profile_names_free(char ***names)
{
    for (size_t i = 0; *names && (*names)[i]; i++)
        free((*names)[i]);
    free(*names);
    *names = NULL;
}
