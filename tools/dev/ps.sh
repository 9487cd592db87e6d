# What runs. Sourced.
. "$RL_ROOT/tools/dev/ports.sh"
. "$RL_ROOT/tools/dev/process.sh"

# ports_of NAME: as a JSON object, name to number.
ports_of() {
    local key=${1//-/_} pairs="" pair
    while IFS= read -r pair; do
        case $pair in
        "PORT_${key}="*) pairs+="\"main\":${pair#*=}," ;;
        "PORT_${key}_"*)
            pair=${pair#"PORT_${key}_"}
            pairs+="\"${pair%%=*}\":${pair#*=},"
            ;;
        esac
    done <"$RL_RUN/ports"
    printf '{%s}' "${pairs%,}"
}

health_of() {
    local variable="PORT_${1//-/_}_health"
    [ -n "${!variable:-}" ] && printf 'http://127.0.0.1:%s' "${!variable}"
}

netns_of() {
    local netns=""
    if [ "$RL_CLUSTER" = leaf ]; then
        netns=$NETNS_LEAF
    elif [ "$1" = "$RL_TUNNELLED_NODE" ]; then
        netns=$NETNS_DEVICE
    fi
    if [ -n "$netns" ] && netns_exists "$netns"; then printf '%s\n' "$netns"; fi
}

# One JSON object for each process of the cluster in use.
ps_rows() {
    local name pid health
    load_ports
    for name in $RL_PROCESSES; do
        pid=$(pid_of "$name" || echo null)
        health=$(health_of "$name" || true)
        jq -nc --arg name "$(public_name "$name")" --argjson pid "$pid" --argjson ports "$(ports_of "$name")" \
            --arg health "$health" --arg log "$RL_RUN/log/$name.log" --arg netns "$(netns_of "$name")" \
            'def text: if . == "" then null else . end;
             {name: $name, pid: $pid, ports: $ports,
              health_url: (if $health == "" then null else $health + "/healthz" end),
              metrics_url: (if $health == "" then null else $health + "/metrics" end),
              log: $log, netns: ($netns | text)}'
    done
}

rl_dev_ps() {
    local cluster rows="" format=${1:-}
    [ -n "$(clusters_here)" ] || die "nothing was started here; run ./dev up"
    for cluster in $(clusters_here); do
        rows+=$(use_cluster "$cluster" && ps_rows)$'\n'
    done
    if [ "$format" = --format=json ]; then
        jq -s . <<<"$rows"
    else
        jq -r '[.name, (.pid // "-" | tostring),
                (.ports | to_entries | map("\(.key)=\(.value)") | join(" "))] | @tsv' <<<"$rows" |
            awk -F'\t' '{printf "%-13s %-8s %s\n", $1, $2, $3}'
    fi
}
