/* tsh: the user's command line. One file per command; each takes its own argv and returns the exit
 * status of the contract: 0 done, 1 failed, 2 wrong usage, 3 not logged in, 4 denied.
 */
#ifndef TSH_H
#define TSH_H

#include "output/output.h"
#include "settings/settings.h"

int tsh_login(int argc, char **argv);
int tsh_logout(int argc, char **argv);
int tsh_signup(int argc, char **argv);
int tsh_passwd(int argc, char **argv);
int tsh_status(int argc, char **argv);
int tsh_clusters(int argc, char **argv);
int tsh_ls(int argc, char **argv);
int tsh_ssh(int argc, char **argv);
int tsh_scp(int argc, char **argv);
int tsh_config(int argc, char **argv);
int tsh_proxy_ssh(int argc, char **argv);
int tsh_recordings_ls(int argc, char **argv);
int tsh_play(int argc, char **argv);
int tsh_sessions_ls(int argc, char **argv);
int tsh_join(int argc, char **argv);
int tsh_version(int argc, char **argv);
int tsh_completion(int argc, char **argv);

/** What each reads by; main has the table of all. */
extern const struct rl_settings_spec tsh_login_spec, tsh_logout_spec, tsh_signup_spec,
    tsh_passwd_spec, tsh_status_spec, tsh_clusters_spec, tsh_ls_spec, tsh_ssh_spec, tsh_scp_spec,
    tsh_config_spec, tsh_proxy_ssh_spec, tsh_recordings_ls_spec, tsh_play_spec,
    tsh_sessions_ls_spec, tsh_join_spec;

/** Says "tsh: message" on stderr and gives the exit status that belongs to the code. */
int tsh_fail(const struct rl_error *err);
/** After rl_settings_read() failed: 0 for --help, else says it and gives 2. */
int tsh_usage(rl_code code, const struct rl_error *err);

#endif
