/* edit: a text in the user's own editor. */
#ifndef TCTL_EDIT_H
#define TCTL_EDIT_H

#include "bytes/buf.h"

/** Appends what the editor ($VISUAL, $EDITOR, vi) left of a copy of `before`. The copy stays, for
 * when the text can not be used: *path is heap text. Errors: RL_E_CANCELLED the editor failed:
 * nothing stays. */
rl_code tctl_edit_copy(struct rl_span before, struct rl_buf *after, char **path,
                       struct rl_error *err);

#endif
