#!/bin/sh
# Once: the leaf's administrator makes the leaf trust the root, with a token of the root's. Whose role
# is worth what in the leaf is in role_map.
set -eu
of_root() { REMOTELER_AUTH_SERVER=root-auth:3025 REMOTELER_IDENTITY_FILE=/run/remoteler/root/identity.pem tctl "$@"; }
of_leaf() { REMOTELER_AUTH_SERVER=leaf-auth:3025 REMOTELER_IDENTITY_FILE=/run/remoteler/leaf/identity.pem tctl "$@"; }
if of_leaf get "trusted_cluster/$REMOTELER_CLUSTER" >/dev/null 2>&1; then exit 0; fi
token=$(of_root tokens add --type=trusted_cluster --ttl=10m --format=json | tr ',' '\n' |
    sed -n 's/.*"token": *"\([^"]*\)".*/\1/p')
of_leaf create -f - <<YAML
kind: role
version: v1
metadata: {name: guest}
spec:
  allow:
    logins: ["{{external.logins}}"]
    node_labels: {"*": "*"}
    rules: [{resources: [session, event], verbs: [list, read], where: own}]
  options: {port_forwarding: true}
---
kind: trusted_cluster
version: v1
metadata: {name: $REMOTELER_CLUSTER}
spec:
  enabled: true
  token: "$token"
  proxy: proxy:3080
  role_map:
    - {remote: access, local: [guest]}
YAML
cat <<TEXT

$REMOTELER_LEAF_CLUSTER trusts $REMOTELER_CLUSTER. Logged in there:

  tsh ls --cluster=$REMOTELER_LEAF_CLUSTER
  ssh demo@leaf-r1.$REMOTELER_LEAF_CLUSTER hostname

TEXT
