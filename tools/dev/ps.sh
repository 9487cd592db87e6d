# What runs. Sourced.
. "$RL_ROOT/tools/dev/ports.sh"
. "$RL_ROOT/tools/dev/process.sh"
. "$RL_ROOT/tools/dev/netns.sh"

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

rl_dev_ps() {
    local name pid health netns rows="" format=${1:-}
    [ -s "$RL_RUN/ports" ] || die "nothing was started here; run ./dev up"
    load_ports
    netns_names
    for name in $RL_PROCESSES; do
        pid=$(pid_of "$name" || echo null)
        health=$(health_of "$name" || true)
        netns=""
        [ "$name" = node-r1 ] && netns_exists "$NETNS_DEVICE" && netns=$NETNS_DEVICE
        rows+=$(jq -nc --arg name "$name" --argjson pid "$pid" --argjson ports "$(ports_of "$name")" \
            --arg health "$health" --arg log "$RL_RUN/log/$name.log" --arg netns "$netns" \
            'def text: if . == "" then null else . end;
             {name: $name, pid: $pid, ports: $ports,
              health_url: (if $health == "" then null else $health + "/healthz" end),
              metrics_url: (if $health == "" then null else $health + "/metrics" end),
              log: $log, netns: ($netns | text)}')
    done
    if [ "$format" = --format=json ]; then
        jq -s . <<<"$rows"
    else
        jq -r '[.name, (.pid // "-" | tostring),
                (.ports | to_entries | map("\(.key)=\(.value)") | join(" "))] | @tsv' <<<"$rows" |
            awk -F'\t' '{printf "%-10s %-8s %s\n", $1, $2, $3}'
    fi
}
