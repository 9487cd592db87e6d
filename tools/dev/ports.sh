# Ports of the cluster in use: free ones below the ephemeral range, chosen once and kept. Sourced.
RL_PORT_NAMES="postgres proxy auth auth_proxied auth_control auth_health audit audit_proxied
    audit_control audit_health broker broker_proxied broker_health proxy_health"

# Ports that some socket of this machine has.
ports_in_use() {
    ss -Htan | awk '{n=split($4,a,":"); print a[n]}' | sort -un
}

choose_ports() {
    local file=$RL_RUN/ports name port used
    [ -s "$file" ] && return 0
    used=" $(ports_in_use | tr '\n' ' ') "
    # A slot of 20 for each directory: two clusters that come up at once do not meet.
    port=$((20000 + $(printf %s "$RL_RUN" | cksum | cut -d' ' -f1) % 450 * 20))
    : >"$file.new"
    for name in $RL_PORT_NAMES "${RL_DIRECT_NODE//-/_}"; do
        while case $used in *" $port "*) true ;; *) false ;; esac do port=$((port + 1)); done
        printf 'PORT_%s=%s\n' "$name" "$port" >>"$file.new"
        port=$((port + 1))
    done
    mv "$file.new" "$file"
}

load_ports() {
    choose_ports
    # shellcheck disable=SC1091
    . "$RL_RUN/ports"
}
