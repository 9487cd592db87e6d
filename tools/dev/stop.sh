# Sourced.
. "$RL_ROOT/tools/dev/process.sh"

rl_dev_stop() {
    [ $# -ge 1 ] || die "stop what? the names: ./dev ps"
    for_processes stop_process "$@"
}
