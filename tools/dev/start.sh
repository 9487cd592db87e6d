# Sourced.
. "$RL_ROOT/tools/dev/units.sh"

start_here() {
    load_ports
    start_process "$1"
}

rl_dev_start() {
    [ $# -ge 1 ] || die "start what? the names: ./dev ps"
    for_processes start_here "$@"
}
