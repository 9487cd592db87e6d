#!/bin/sh
# What of a build goes into which image, with the places that volumes are put on. In the Dockerfile:
#   stage.sh services EPOCH | stage.sh agent EPOCH ARCH
set -eu
OWNER=65532

# program IMAGE FILE [NAME]
program() {
    install -D -m 755 "$2" "/out/$1/usr/local/bin/${3:-${2##*/}}"
    strip "/out/$1/usr/local/bin/${3:-${2##*/}}"
}

# places IMAGE DIRECTORY...: empty, of the user that the image runs as
places() {
    image=$1
    shift
    for directory in "$@"; do
        mkdir -p "/out/$image$directory"
        chown "$OWNER:$OWNER" "/out/$image$directory"
        chmod 700 "/out/$image$directory"
    done
}

finish() { find /out -exec touch -h -d "@$1" {} +; }

services() {
    for service in auth audit broker proxy; do
        program "$service" "build/release/bin/remoteler-$service"
        # The shared HEALTHCHECK asks by this name.
        ln -s "remoteler-$service" "/out/$service/usr/local/bin/remoteler-service"
        places "$service" "/var/lib/remoteler/$service" /run/remoteler/join
    done
    program auth build/release/bin/tctl
    install -m 755 deploy/docker/migrate.sh deploy/docker/first-nodes.sh deploy/docker/trust.sh /out/auth/usr/local/bin/
    places auth /run/remoteler/database /var/lib/remoteler/admin /run/remoteler/join/proxy \
        /run/remoteler/join/broker /run/remoteler/join/audit
    places audit /run/remoteler/database
    for tool in tsh tctl; do program tools "build/release/bin/$tool"; done
}

agent() {
    install -D -m 755 "/build/build/agent-$1/remoteler" /out/agent/remoteler
    places agent /var/lib/remoteler /run/remoteler/join
    install -D -m 755 "/build/build/agent-$1/remoteler" /out/node/usr/local/bin/remoteler
    mkdir -p /out/node/var/lib/remoteler
    chmod 700 /out/node/var/lib/remoteler
}

case $1 in
services) services && finish "$2" ;;
agent) agent "$3" && finish "$2" ;;
esac
