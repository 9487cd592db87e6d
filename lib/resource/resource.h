/* resource: the documents of tctl, YAML and JSON, as messages and back. The schema is the messages'
 * own descriptors, so a field exists in one place. Unknown fields, wrong types and wrong values are
 * errors that name the line and the field. Secrets are shown as "<redacted>". Pure; fuzzed.
 */
#ifndef RL_RESOURCE_H
#define RL_RESOURCE_H

#include "bytes/buf.h"
#include "remoteler/v1/resource.pb-c.h"

#include <jansson.h>

#define RL_RESOURCE_BYTES_MAX (1u << 20)
#define RL_RESOURCE_DOCUMENTS_MAX 1000
#define RL_RESOURCE_DEPTH_MAX 16
#define RL_RESOURCE_REDACTED "<redacted>"

/** Every document of a YAML text (or JSON: it is YAML, but that a character beyond U+FFFF has to
 * stand as it is, not as two escapes); a top-level list is its items. Metadata and
 * spec are never NULL in what comes out; `status` is dropped. A secret that reads "<redacted>"
 * stays that text: whoever saves the resource keeps the one it has. Errors: RL_E_INVAL "line 7:
 * spec.allow.node_label: unknown field; did you mean node_labels?"; RL_E_UNIMPLEMENTED for a kind
 * that this version has no message of. Owns: *out by rl_resources_free(). */
rl_code rl_resources_parse(struct rl_span text, Pb__Resource ***out, size_t *count,
                           struct rl_error *err);
void rl_resources_free(Pb__Resource ***resources, size_t count);
/** The document as JSON: kind, version, metadata, spec in the shape that the contract shows
 * (durations "12h", labels as maps, times RFC 3339). A new reference. */
json_t *rl_resource_to_json(const Pb__Resource *resource);
/** Documents separated by `---`; appended to `out`. Errors: RL_E_EXHAUSTED beyond its maximum. */
rl_code rl_resources_to_yaml(Pb__Resource *const *resources, size_t count, struct rl_buf *out,
                             struct rl_error *err);

const char *rl_resource_kind(const Pb__Resource *resource);       /* "role" */
Pb__Metadata *rl_resource_metadata(const Pb__Resource *resource); /* may be NULL */
const char *rl_resource_name(const Pb__Resource *resource);       /* "" when it has none */
/** The name by its kind's rules, labels, the values of the spec. A role's patterns and rules are
 * rl_authz_check_role()'s. Errors: RL_E_INVAL. */
rl_code rl_resource_check(const Pb__Resource *resource, struct rl_error *err);
/** Every kind that `tctl get` knows; NULL-terminated. Accepts plurals in rl_resource_kind_of. */
const char *const *rl_resource_kinds(void);
const char *rl_resource_kind_of(const char *text); /* "roles" -> "role"; NULL: unknown */
/** This version has a message of it; else the answer is "not in this version". */
bool rl_resource_kind_is_here(const char *kind);
/** "a=b,c=d" as labels; "" is none. Errors: RL_E_INVAL, a key twice too. Owns: *out by
 * rl_labels_free(). */
rl_code rl_labels_parse(const char *text, Pb__Label ***out, size_t *count, struct rl_error *err);
/** The same of several items, as a flag's that was repeated. Owns: *out by rl_labels_free(). */
rl_code rl_labels_parse_list(char *const *items, size_t item_count, Pb__Label ***out, size_t *count,
                             struct rl_error *err);
void rl_labels_free(Pb__Label ***labels, size_t count);
/** As the documents show them: {"env": "dev"}, {"team": ["a", "b"]}. New references. */
json_t *rl_labels_to_json(Pb__Label *const *labels, size_t count);
json_t *rl_traits_to_json(Pb__Trait *const *traits, size_t count);

#endif
