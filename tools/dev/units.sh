# What each process of the cluster in use is: its command line, and when it is ready. Sourced.
. "$RL_ROOT/tools/dev/build.sh"
. "$RL_ROOT/tools/dev/ports.sh"
. "$RL_ROOT/tools/dev/process.sh"

# Programs: of the chosen build, or of RL_BIN when a test says which.
bin_dir() { printf '%s\n' "${RL_BIN:-$(build_dir release)/bin}"; }

postgres_bin() {
    local dir
    for dir in /usr/lib/postgresql/*/bin; do [ -x "$dir/initdb" ] && printf '%s\n' "$dir"; done | tail -1
}

# PostgreSQL refuses to run as root, and its own user cannot enter a directory under a 0700 one: it
# gets the one right that it needs for that, and no other.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then
        cd / && setpriv --reuid=postgres --regid=postgres --clear-groups \
            --inh-caps=+dac_read_search --ambient-caps=+dac_read_search "$@"
    else
        "$@"
    fi
}

# database ROLE DATABASE: a libpq connection string; the password is in a file of its own.
database() {
    printf 'host=%s port=%s user=%s dbname=%s passfile='\''%s'\''' "$RL_LOOPBACK" "$PORT_postgres" "$1" \
        remoteler "$RL_RUN/keys/pgpass"
}

health_is() { "${IN_NET[@]}" curl -fsS --max-time 1 "http://$RL_LOOPBACK:$1/readyz"; }

start_postgres() {
    local postgres
    postgres=$(postgres_bin)/postgres
    if [ "$(id -u)" = 0 ]; then
        spawn postgres setpriv --reuid=postgres --regid=postgres --clear-groups \
            --inh-caps=+dac_read_search --ambient-caps=+dac_read_search \
            "$postgres" -D "$RL_RUN/postgres" -p "$PORT_postgres" \
            -c listen_addresses="$RL_LOOPBACK" -c unix_socket_directories=
    else
        spawn postgres "$postgres" -D "$RL_RUN/postgres" -p "$PORT_postgres" \
            -c listen_addresses="$RL_LOOPBACK" -c unix_socket_directories=
    fi
    wait_for_process postgres 30 "${IN_NET[@]}" "$(postgres_bin)/pg_isready" -q -h "$RL_LOOPBACK" -p "$PORT_postgres"
}

start_auth() {
    spawn auth "$(bin_dir)/remoteler-auth" run \
        --database="$(database remoteler_auth)" --key-file="$RL_RUN/keys/auth.key" \
        --public-address="$RL_LOOPBACK:$PORT_proxy" \
        --listen="$RL_LOOPBACK:$PORT_auth" --proxied-listen="$RL_LOOPBACK:$PORT_auth_proxied" \
        --control-listen="$RL_LOOPBACK:$PORT_auth_control" \
        --health-listen="$RL_LOOPBACK:$PORT_auth_health" --address="$RL_LOOPBACK" \
        --checkpoint-every=5s --checkpoint-file="$RL_RUN/log/checkpoints.jsonl" \
        --event-journal="$RL_RUN/state/auth-events"
    wait_for_process auth 30 health_is "$PORT_auth_health"
}

# What every member of the cluster is told.
member_flags() {
    MEMBER_FLAGS=(--state-dir="$RL_RUN/state/$1" --join-token-file="$RL_RUN/tokens/$1.token"
        --auth-address="$RL_LOOPBACK:$PORT_auth"
        --auth-control-address="$RL_LOOPBACK:$PORT_auth_control"
        --ca-pin="$(cat "$RL_RUN/keys/ca_pin")" --certificate-address="$RL_LOOPBACK" --drain=2s)
}

start_audit() {
    member_flags audit
    spawn audit "$(bin_dir)/remoteler-audit" "${MEMBER_FLAGS[@]}" \
        --database="$(database remoteler_audit)" \
        --owner-database="$(database remoteler_audit_owner)" \
        --listen="$RL_LOOPBACK:$PORT_audit" --proxied-listen="$RL_LOOPBACK:$PORT_audit_proxied" \
        --control-listen="$RL_LOOPBACK:$PORT_audit_control" \
        --health-listen="$RL_LOOPBACK:$PORT_audit_health"
    wait_for_process audit 30 health_is "$PORT_audit_health"
}

start_broker() {
    member_flags broker
    spawn broker "$(bin_dir)/remoteler-broker" "${MEMBER_FLAGS[@]}" \
        --dial-listen="$RL_LOOPBACK:$PORT_broker" \
        --attach-listen="$RL_LOOPBACK:$PORT_broker_proxied" \
        --health-listen="$RL_LOOPBACK:$PORT_broker_health"
    wait_for_process broker 30 health_is "$PORT_broker_health"
}

start_proxy() {
    local listen="$RL_LOOPBACK:$PORT_proxy"
    if [ "$RL_CLUSTER" = dev ] && netns_exists "$NETNS_ROUTER"; then listen+=,$NET_HOST:$PORT_proxy; fi
    member_flags proxy
    spawn proxy "$(bin_dir)/remoteler-proxy" "${MEMBER_FLAGS[@]}" \
        --listen="$listen" --public-address="$RL_LOOPBACK:$PORT_proxy" \
        --health-listen="$RL_LOOPBACK:$PORT_proxy_health"
    wait_for_process proxy 30 health_is "$PORT_proxy_health"
}

agent_is_connected() {
    [ "$("$(bin_dir)/remoteler" status --data-dir="$RL_RUN/state/$1" --format=json |
        jq -r .connected)" = true ]
}

# A node's own host name: each runs in a UTS namespace where one can be made.
in_uts() {
    local name=$1
    shift
    if [ "$(id -u)" = 0 ] && unshare --uts true 2>/dev/null; then
        IN_UTS=(unshare --uts sh -c 'hostname "$0" && exec "$@"' "$name" "$@")
    else
        IN_UTS=("$@")
    fi
}

# What both nodes are told.
node_flags() {
    NODE_FLAGS=(--token=@"$RL_RUN/tokens/$1.token" --ca-pin="$(cat "$RL_RUN/keys/ca_pin")"
        --nodename="$1" --data-dir="$RL_RUN/state/$1")
}

start_direct_node() {
    local name=$RL_DIRECT_NODE port=PORT_${RL_DIRECT_NODE//-/_}
    node_flags "$name"
    in_uts "$name" "$(bin_dir)/remoteler" start --auth-server="$RL_LOOPBACK:$PORT_auth" \
        "${NODE_FLAGS[@]}" --labels=env=dev,site=local --listen="$RL_LOOPBACK:${!port}"
    spawn "$name" env -u REMOTELER_PROXY "${IN_UTS[@]}"
    wait_for_process "$name" 30 agent_is_connected "$name"
}

start_tunnelled_node() {
    local name=$RL_TUNNELLED_NODE proxy=$RL_LOOPBACK:$PORT_proxy enter=()
    if [ "$RL_CLUSTER" = dev ] && netns_exists "$NETNS_DEVICE"; then
        proxy=$NET_HOST:$PORT_proxy
        enter=(nsenter --net="/run/netns/$NETNS_DEVICE")
    fi
    node_flags "$name"
    in_uts "$name" "$(bin_dir)/remoteler" start --proxy="$proxy" "${NODE_FLAGS[@]}" \
        --labels=env=dev,site=edge
    spawn "$name" "${enter[@]}" "${IN_UTS[@]}"
    wait_for_process "$name" 30 agent_is_connected "$name"
}

# start_process NAME: unless it runs.
start_process() {
    is_running "$1" && return 0
    say_step "starting $(public_name "$1")"
    case $1 in
    "$RL_DIRECT_NODE") start_direct_node ;;
    "$RL_TUNNELLED_NODE") start_tunnelled_node ;;
    *) "start_$1" ;;
    esac
}
