# Sourced.
. "$RL_ROOT/tools/dev/start.sh"
. "$RL_ROOT/tools/dev/stop.sh"

rl_dev_restart() {
    rl_dev_stop "$@"
    rl_dev_start "$@"
}
