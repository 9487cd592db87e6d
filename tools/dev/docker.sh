# A Docker Engine, Compose v2 and buildx: those of the machine where it has them, else from packages.
# Sourced.
. "$RL_ROOT/tools/dev/packages.sh"

RL_PACKAGES_DOCKER="docker.io iptables"
# Compose v2 and buildx are Debian packages since the release after this one.
RL_PACKAGES_PLUGINS="docker-compose docker-buildx"
RL_PLUGINS_SUITE=trixie

docker_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# docker_engine DIR: leaves DOCKER_HOST as it is where an engine answers; else starts one of our own,
# with its data in DIR. Its bridge and its firewall rules are the machine's while it runs, as of any
# engine. False when none can be had; the reason is in DIR/dockerd.log.
docker_engine() {
    local dir=$1
    if docker_answers; then return 0; fi
    if [ "$(id -u)" != 0 ]; then
        say "no Docker Engine answers, and only root can start one"
        return 1
    fi
    # shellcheck disable=SC2086
    (ensure_packages $RL_PACKAGES_DOCKER) || return 1
    mkdir -p "$dir/data"
    DOCKER_ENGINE_DIR=$(mktemp -d /tmp/rl-docker.XXXXXX) # a socket's path is 107 bytes at most
    export DOCKER_HOST=unix://$DOCKER_ENGINE_DIR/docker.sock
    network_remember "$DOCKER_ENGINE_DIR"
    say_step "starting a Docker Engine in $dir"
    setsid dockerd --data-root="$dir/data" --exec-root="$DOCKER_ENGINE_DIR/exec" \
        --pidfile="$DOCKER_ENGINE_DIR/docker.pid" --host="$DOCKER_HOST" \
        </dev/null >>"$dir/dockerd.log" 2>&1 &
    DOCKER_ENGINE_PID=$!
    disown
    local deadline=$((SECONDS + 60))
    until docker_answers; do
        if ! kill -0 "$DOCKER_ENGINE_PID" 2>/dev/null || [ "$SECONDS" -ge "$deadline" ]; then
            tail -5 "$dir/dockerd.log" >&2
            return 1
        fi
        sleep 0.1
    done
}

# network_remember DIR, network_restore DIR: what an engine changes of the machine's network and
# leaves so when it ends.
network_remember() {
    iptables-save >"$1/iptables" 2>/dev/null
    ip6tables-save >"$1/ip6tables" 2>/dev/null
    cat /proc/sys/net/ipv4/ip_forward >"$1/ip_forward"
    if ip link show docker0 >/dev/null 2>&1; then touch "$1/docker0"; fi
}

# A table that was not there before is emptied: iptables-restore touches only those that it is given.
restore_tables() {
    local command=$1 saved=$2 table
    for table in $("$command-save" 2>/dev/null | sed -n 's/^\*//p'); do
        if grep -q "^\*$table\$" "$saved"; then continue; fi
        "$command" -t "$table" -F
        "$command" -t "$table" -X
    done
    "$command-restore" <"$saved"
    if ! grep -q '^:FORWARD' "$saved"; then "$command" -P FORWARD ACCEPT; fi
}

network_restore() {
    [ -e "$1/docker0" ] || ip link delete docker0 2>/dev/null || true
    restore_tables iptables "$1/iptables"
    restore_tables ip6tables "$1/ip6tables"
    cat "$1/ip_forward" >/proc/sys/net/ipv4/ip_forward
}

# The engine that docker_engine has started, and nothing else.
docker_engine_stop() {
    local deadline=$((SECONDS + 60))
    [ -n "${DOCKER_ENGINE_PID:-}" ] || return 0
    kill -TERM "$DOCKER_ENGINE_PID" 2>/dev/null || return 0
    while kill -0 "$DOCKER_ENGINE_PID" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
    network_restore "$DOCKER_ENGINE_DIR"
    umount "$DOCKER_ENGINE_DIR/exec/netns/default" 2>/dev/null || true
    rm -rf "$DOCKER_ENGINE_DIR"
}

# The machine's own package lists, for another release of the same distribution.
plugins_apt() {
    local apt=$1
    shift
    apt-get -qq -o APT::Sandbox::User=root -o Dir::State="$apt/state" \
        -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" \
        -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt/sources" \
        -o Debug::NoLocking=1 "$@"
}

# docker_plugins DIR: Compose v2 and buildx; unpacked into DIR, not installed, when they are not
# there.
docker_plugins() {
    local dir=$1 apt=$1/apt file codename deb
    if docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1; then return 0; fi
    export DOCKER_CONFIG=$dir/config
    if docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1; then return 0; fi
    say_step "fetching Compose v2 and buildx"
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    rm -rf "$apt"
    mkdir -p "$apt/sources" "$apt/state/lists/partial" "$apt/cache/archives/partial" "$DOCKER_CONFIG/cli-plugins"
    : >"$apt/status"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        if grep -qs "$codename" "$file"; then
            sed "s/$codename/$RL_PLUGINS_SUITE/g" "$file" >"$apt/sources/${file##*/}"
        fi
    done
    # shellcheck disable=SC2086
    (plugins_apt "$apt" update && mkdir "$apt/debs" && cd "$apt/debs" &&
        plugins_apt "$apt" download $RL_PACKAGES_PLUGINS) >"$RL_RUN/log/docker-plugins.log" 2>&1 ||
        {
            tail -5 "$RL_RUN/log/docker-plugins.log" >&2
            return 1
        }
    for deb in "$apt"/debs/*.deb; do dpkg-deb --extract "$deb" "$apt/root"; done
    find "$apt/root" -path '*/cli-plugins/docker-*' -type f \
        -exec install -m 755 -t "$DOCKER_CONFIG/cli-plugins" {} +
    rm -rf "$apt"
    docker compose version >/dev/null && docker buildx version >/dev/null
}

# What `docker compose build` is told of these sources.
docker_build_environment() {
    if [ -z "${REMOTELER_COMMIT:-}" ] && git -C "$RL_ROOT" rev-parse HEAD >/dev/null 2>&1; then
        REMOTELER_COMMIT=$(git -C "$RL_ROOT" log -1 --format=%h)
        REMOTELER_BUILT=$(git -C "$RL_ROOT" log -1 --format=%cI)
    fi
    export REMOTELER_COMMIT REMOTELER_BUILT
}
