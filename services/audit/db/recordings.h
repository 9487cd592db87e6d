/* recordings: parts as they come, and what is known of each recording. A part is written once and
 * stays; the same again is known by its session, channel and number, and has to be the same. What
 * is open has a lease that its writer keeps up: the one table here that changes.
 */
#ifndef RL_AUDIT_DB_RECORDINGS_H
#define RL_AUDIT_DB_RECORDINGS_H

#include "remoteler/v1/audit.pb-c.h"
#include "store/store.h"

#define RL_AUDIT_RECORDING_PARTS_MAX 64 /* of one write */
#define RL_AUDIT_RECORDING_LIVE_MAX 1024
#define RL_AUDIT_RECORDING_LEASE_NS (150 * INT64_C(1000000000)) /* five beats of an agent */
#define RL_AUDIT_RECORDING_PAGE_PARTS 16
#define RL_AUDIT_RECORDINGS_LIST_MAX 1000
#define RL_AUDIT_RECORDINGS_CLOSE_MAX 64 /* in one transaction */

/* ---- writing ---- */

/** All or none, and the leases of what is live. `request` is judged. Errors: RL_E_DENIED the
 * session is another node's; RL_E_PRECONDITION a part before part 0; RL_E_EXISTS another part of
 * this number is there; else as rl_store_transaction(). */
rl_code rl_audit_write_recording(struct rl_store *store, const char *agent, int64_t now_ns,
                                 const Pb__WriteRecordingRequest *request, size_t *accepted,
                                 struct rl_error *err);

/* ---- reading ---- */

struct rl_audit_recordings_filter {
    const char *session_id;             /* NULL: any */
    int64_t channel;                    /* -1: any */
    int64_t from_ns, to_ns;             /* both included */
    const char *own_user, *own_cluster; /* only what this user did; NULL: all */
    bool live_only;                     /* those too that are not recorded */
    bool with_unrecorded;
    uint32_t limit;
};

struct rl_audit_recordings {
    Pb__Recording **items; /* newest first */
    int64_t *days;         /* the partition of each */
    size_t count;
};
void rl_audit_recordings_clear(struct rl_audit_recordings *recordings);
/** Whatever was in *out is cleared. Errors: RL_E_DATA_LOSS one that cannot be read. */
rl_code rl_audit_list_recordings(struct rl_store *store,
                                 const struct rl_audit_recordings_filter *filter, int64_t now_ns,
                                 struct rl_audit_recordings *out, struct rl_error *err);

struct rl_audit_parts {
    struct rl_buf packed[RL_AUDIT_RECORDING_PAGE_PARTS];
    size_t count;
    int64_t last; /* number of the last that was read; -1 before the first */
    bool is_end;
};
void rl_audit_parts_clear(struct rl_audit_parts *parts);
/** The parts after parts->last, at most a page; none: no more are there now. */
rl_code rl_audit_read_parts(struct rl_store *store, int64_t day, const char *session_id,
                            uint32_t channel, struct rl_audit_parts *parts, struct rl_error *err);

/* ---- closing ---- */

/** Ends the leases of what has ended or was not heard of for RL_AUDIT_RECORDING_LEASE_NS, with an
 * event for each, in one transaction. What comes later is taken all the same. */
rl_code rl_audit_close_recordings(struct rl_store *store, const char *replica, const char *cluster,
                                  int64_t now_ns, size_t *closed, struct rl_error *err);

/* ---- the owner's ---- */

/** Partitions of the day of now_ns and those ahead. */
rl_code rl_audit_make_recording_days(struct rl_store *owner, int64_t now_ns, struct rl_error *err);
/** Drops what began on days that ended before the cutoff, unless something of it is still open. */
rl_code rl_audit_retain_recordings(struct rl_store *owner, int64_t cutoff_ns, size_t *dropped,
                                   struct rl_error *err);

#endif
