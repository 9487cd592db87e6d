# Sourced.
. "$RL_ROOT/tools/dev/units.sh"

rl_dev_start() {
    [ $# -ge 1 ] || die "start what? the names: ./dev ps"
    [ -s "$RL_RUN/ports" ] || die "nothing was set up here; run ./dev up"
    load_ports
    netns_names
    local name
    for name in "$@"; do check_process_name "$name"; done
    # What another needs first: a broker is ready when auth has answered it.
    for name in $RL_PROCESSES; do
        case " $* " in *" $name "*) start_process "$name" ;; esac
    done
}
