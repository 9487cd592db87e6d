#!/bin/sh
# PostgreSQL. The first start makes the cluster beside its place: one that was cut short is made anew.
set -eu
bin=/usr/lib/postgresql/15/bin
data=/data/15
roles=/run/remoteler/roles/roles.sql
if [ ! -s "$data/PG_VERSION" ]; then
    [ -s "$roles" ] || { echo "postgres: $roles is missing or empty: secrets.sh makes it" >&2; exit 2; }
    rm -rf "$data.new"
    "$bin/initdb" -D "$data.new" -U postgres --auth-local=trust --auth-host=scram-sha-256 \
        --encoding=UTF8 --locale=C >/dev/null
    echo 'host all all all scram-sha-256' >>"$data.new/pg_hba.conf"
    "$bin/postgres" --single -D "$data.new" postgres <"$roles" >/dev/null
    mv "$data.new" "$data"
    echo "made the database cluster"
fi
exec "$bin/postgres" -D "$data" -c listen_addresses='*' -c unix_socket_directories=/run/postgresql
