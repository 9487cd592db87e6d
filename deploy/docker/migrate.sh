#!/bin/sh
# Once for each version: auth's tables brought up to date. The first time also the cluster itself,
# its key file, the administrator's identity, and what the services join with.
set -eu
keys=/var/lib/remoteler/auth
join=/run/remoteler/join
remoteler-auth bootstrap --wait=120s --identity-out=/var/lib/remoteler/admin/identity.pem \
    --service-tokens-out="$keys/tokens" --service-token-ttl=365d --service-token-uses=100 >/dev/null
for kind in proxy broker audit; do
    for file in "$keys/tokens/$kind.token:token" "$keys/tokens/ca.pin:ca.pin"; do
        to=$join/$kind/${file##*:}
        [ -s "$to" ] || install -m 600 "${file%:*}" "$to"
    done
done
