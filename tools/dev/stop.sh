# Sourced.
. "$RL_ROOT/tools/dev/process.sh"

rl_dev_stop() {
    [ $# -ge 1 ] || die "stop what? the names: ./dev ps"
    local name
    for name in "$@"; do
        check_process_name "$name"
        stop_process "$name"
    done
}
