/* party: what joining and renewing share. Internal to enrol.
 */
#ifndef RL_ENROL_PARTY_H
#define RL_ENROL_PARTY_H

#include "enrol/directory.h"
#include "enrol/held.h"

#define RL_ENROL_FILE "identity"

struct rl_enrol {
    struct rl_enrol_config config; /* its texts and lists are copies */
    struct rl_directory *directory;
    struct rl_held *held;    /* what is given out */
    char *id, *cluster;      /* as in it, but for as long as they stay the same */
    struct rl_held *renewal; /* the same with the key of a renewal under way; NULL: none */
    char *message;

    /* to auth; only while there is something to ask */
    struct rl_tls_client *tls;
    struct rl_rpc_channel *channel;
    struct rl_error down; /* why the connection failed; code RL_OK: it did not */

    /* what time it is: time.c */
    struct rl_rpc_channel *time_channel; /* NULL: nobody is asked now */
    struct rl_task *stop_asking;
    uint8_t nonce[32];
    uint64_t asked_boot_ms; /* 0: never */

    /* renewing */
    struct rl_timer *timer;
    struct rl_task *hang_up; /* outside of the channel's own callbacks */
    int64_t renew_at_s;
    uint64_t refused_boot_ms; /* renewed because of a refusal; 0: never */
    uint32_t failures;        /* in a row */
    bool clock_was_set;       /* while a renewal was under way that may fail for that */
    bool is_kept, is_closing;
};

int64_t rl_enrol_now_s(const struct rl_enrol *enrol);
/** auth.CLUSTER.remoteler.internal; heap text. */
char *rl_enrol_sni(const struct rl_enrol *enrol);
/** A channel to auth. `with_own`: shows the certificate that is held; else nothing, and believes
 * the pin, where there is one, before the trust that is held. */
rl_code rl_enrol_connect(struct rl_enrol *enrol, bool with_own, struct rl_error *err);
void rl_enrol_disconnect(struct rl_enrol *enrol);
/** Reads a packed state, writes it to the disk and gives out what it says from now on. */
rl_code rl_enrol_adopt(struct rl_enrol *enrol, struct rl_span packed, struct rl_error *err);

/** Everything that it points to is copied, but for loop and contexts. */
void rl_enrol_config_copy(const struct rl_enrol_config *from, struct rl_enrol_config *to);
/** @FILE as what is in it. Errors: RL_E_INVAL it can not be read, or is empty. */
rl_code rl_enrol_config_read_pin(struct rl_enrol_config *config, struct rl_error *err);
void rl_enrol_config_fini(struct rl_enrol_config *config);

/** Computes when, and arms the timer. */
void rl_enrol_schedule(struct rl_enrol *enrol);
void rl_enrol_on_timer(void *enrol);
void rl_enrol_on_hang_up(void *enrol);
/** The clock was set right: is a renewal due? */
void rl_enrol_look_again(struct rl_enrol *enrol);

/** Turns the loop until auth has told the time, or has not. Errors: RL_E_PRECONDITION nobody is
 * there to hear it, or nothing to believe it by. */
rl_code rl_enrol_wait_for_time(struct rl_enrol *enrol, struct rl_error *err);
void rl_enrol_stop_asking(void *enrol);

#endif
