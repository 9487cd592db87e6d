#!/bin/sh
# first-nodes.sh NAME...: once, what each of these nodes joins with. Then how a person logs in.
set -eu
join=/run/remoteler/join
waited=0
until tctl status >/dev/null 2>"/tmp/why"; do
    [ $((waited % 10)) -ne 0 ] || echo "waiting for auth: $(cat /tmp/why)"
    [ "$waited" -lt 120 ] || exit 1
    waited=$((waited + 1))
    sleep 1
done
umask 077
value() { sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }
pin=$(tctl status --format=json | tr ',' '\n' | value ca_pin)
for name in "$@"; do
    [ ! -s "$join/$name/token" ] || continue
    echo "$pin" >"$join/$name/ca.pin"
    tctl tokens add --type=node --names="$name" --ttl=24h --format=json | tr ',' '\n' |
        value token >"$join/$name/token.new"
    mv "$join/$name/token.new" "$join/$name/token"
done
cat <<TEXT

The cluster is up. To log in for the first time:

  docker compose exec auth tctl users add alice --roles=access --logins=demo
  tsh signup --ca-pin=$pin INVITE_URL
  tsh login --proxy=$REMOTELER_AUTH_PUBLIC_ADDRESS --user=alice --ca-pin=$pin
  tsh ls
  ssh demo@node-a hostname

TEXT
