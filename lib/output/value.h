/* value: the JSON values of which commands build what they show. Texts may come from a peer, and
 * jansson refuses what is not UTF-8: these never fail, so that one bad byte does not make a whole
 * object, or an event, disappear. All return a new reference.
 */
#ifndef RL_OUTPUT_VALUE_H
#define RL_OUTPUT_VALUE_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

json_t *rl_json_text(const char *text);         /* U+FFFD for what is not UTF-8; "" for NULL */
json_t *rl_json_text_or_null(const char *text); /* null for "" and NULL */
json_t *rl_json_time_or_null(int64_t time_ns);  /* RFC 3339; null for 0 */
json_t *rl_json_texts(char *const *items, size_t count);
/** For a table: in each object of the list whose "user_cluster" is there and is not its "cluster",
 * "user" becomes USER@USER_CLUSTER. Only shown: nothing reads it back. */
void rl_json_show_users(json_t *list);
/** Adds a member whatever its key is made of; takes the reference. */
void rl_json_put(json_t *object, const char *key, json_t *value);

#endif
