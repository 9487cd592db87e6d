/* names: what things may be called. One place, so that a name that passed here is safe in a shell
 * line, an SNI, a certificate and a terminal. All are pure and thread-safe.
 */
#ifndef RL_NAMES_H
#define RL_NAMES_H

#include "status/status.h"

#include <stdint.h>

/** [a-z0-9]([a-z0-9-]{0,61}[a-z0-9])? */
rl_code rl_name_check_node(const char *name, struct rl_error *err);
/** Labels as above joined by dots, at most 253 bytes; the reserved "remoteler.internal" refused. */
rl_code rl_name_check_cluster(const char *name, struct rl_error *err);
/** [A-Za-z0-9]([A-Za-z0-9._@+-]{0,62}[A-Za-z0-9])? ; never "." or ".." */
rl_code rl_name_check_user(const char *name, struct rl_error *err);
/** An operating-system login: [A-Za-z_]([A-Za-z0-9._-]{0,31})\$? */
rl_code rl_name_check_login(const char *name, struct rl_error *err);
/** Roles, tokens, locks and other resources: [A-Za-z0-9]([A-Za-z0-9._-]{0,62}) */
rl_code rl_name_check_resource(const char *name, struct rl_error *err);
/** Key: [A-Za-z0-9]([A-Za-z0-9._/-]{0,62}); value: UTF-8 without control characters, 0..256 bytes
 */
rl_code rl_name_check_label(const char *key, const char *value, struct rl_error *err);
bool rl_name_is_uuid(const char *text); /* lower case, 8-4-4-4-12 */

#define RL_UUID_TEXT_BYTES 37
void rl_uuid4(char text[RL_UUID_TEXT_BYTES]); /* random (RFC 9562, 5.4) */
void rl_uuid7(char text[RL_UUID_TEXT_BYTES]); /* time-ordered (RFC 9562, 5.7) */
/** Of 16 bytes of the maker's own, as of a hash; 6 bits of them are not used (RFC 9562, 5.8). */
void rl_uuid8(const uint8_t bytes[16], char text[RL_UUID_TEXT_BYTES]);

/** Splits "HOST:PORT" or "[V6]:PORT"; host is heap text, the caller frees. */
rl_code rl_address_split(const char *text, char **host, uint16_t *port, struct rl_error *err);
/** As text for a terminal: control characters, escapes and bad UTF-8 become "?"; heap text. */
char *rl_name_printable(const char *text);

#endif
