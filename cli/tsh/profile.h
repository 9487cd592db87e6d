/* profile: what tsh keeps between commands, in $TSH_HOME (0700, files 0600): for each proxy one
 * profile with keys, certificates, trust and the status object; and which profile is the current.
 *
 *   current                       the name of the current profile
 *   profiles/HOST_PORT/profile    the status object, JSON
 *                     /tls.key tls.pem id id-cert.pub trust known_hosts nodes leaves selected
 *   ssh_config                    for OpenSSH: every profile's hosts
 */
#ifndef TSH_PROFILE_H
#define TSH_PROFILE_H

#include "bytes/buf.h"
#include "remoteler/v1/auth.pb-c.h"

#include <jansson.h>

#define TSH_FILE_BYTES_MAX (4u << 20)

/** Where everything lies; heap text. TSH_HOME or ~/.tsh of the passwd entry. Errors: RL_E_DENIED
 * when others may write there; RL_E_INVAL when it is no directory. Made when `create`. */
rl_code tsh_home(bool create, char **out, struct rl_error *err);

struct tsh_profile {
    char *home;     /* TSH_HOME */
    char *name;     /* HOST_PORT */
    char *dir;      /* HOME/profiles/NAME */
    json_t *status; /* the object of `tsh status`; NULL: never logged in */
};

/** The profile of a proxy, or the current one when `proxy` is NULL. Errors: RL_E_UNAUTHENTICATED
 * "not logged in". */
rl_code tsh_profile_open(const char *proxy, struct tsh_profile *out, struct rl_error *err);
/** For login: made if it is not there. */
rl_code tsh_profile_create(const char *proxy, struct tsh_profile *out, struct rl_error *err);
/** Reads the status object of a profile whose paths are set. Errors: RL_E_NOT_FOUND never logged
 * in; RL_E_UNAUTHENTICATED it is damaged. */
rl_code tsh_profile_load(struct tsh_profile *profile, struct rl_error *err);
void tsh_profile_fini(struct tsh_profile *profile);
/** Errors: RL_E_UNAUTHENTICATED "login expired; run tsh login --proxy=...". */
rl_code tsh_profile_check_valid(const struct tsh_profile *profile, struct rl_error *err);
/** A member of the status object as text, "" when it is none. */
const char *tsh_profile_text(const struct tsh_profile *profile, const char *key);
/** Keeps what a login brought and makes this profile the current one. */
rl_code tsh_profile_save(struct tsh_profile *profile, json_t *status, const Pb__TrustBundle *trust,
                         struct rl_error *err);
/** Keeps other authorities than before, and nothing else. */
rl_code tsh_profile_save_trust(const struct tsh_profile *profile, const Pb__TrustBundle *trust,
                               struct rl_error *err);
rl_code tsh_profile_set_current(const struct tsh_profile *profile, struct rl_error *err);
/** Forgets keys and certificates; the trust stays, for the next login. */
rl_code tsh_profile_forget(struct tsh_profile *profile, struct rl_error *err);
/** The trust kept from an earlier login; RL_E_NOT_FOUND when there is none. */
rl_code tsh_profile_trust(const struct tsh_profile *profile, Pb__TrustBundle **out,
                          struct rl_error *err);
char *tsh_profile_path(const struct tsh_profile *profile, const char *file); /* heap */
/** Every profile's name, the current one first, then in order; NULL-terminated heap array of heap
 * text. Errors: RL_E_EXHAUSTED more than there may be. */
rl_code tsh_profile_names(const char *home, char ***out, struct rl_error *err);
void tsh_profile_names_free(char ***names);

#endif
