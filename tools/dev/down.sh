# Stops everything; --wipe forgets it too. Sourced.
. "$RL_ROOT/tools/dev/process.sh"
. "$RL_ROOT/tools/dev/netns.sh"

rl_dev_down() {
    local name reversed=""
    for name in $RL_PROCESSES; do reversed="$name $reversed"; done
    for name in $reversed; do stop_process "$name"; done
    if [ "$(id -u)" = 0 ] && command -v ip >/dev/null; then netns_down; fi
    case ${1:-} in
    --wipe) wipe ;;
    '') ;;
    *) die "down takes --wipe or nothing" ;;
    esac
}

# Only what `up` made: a directory that somebody named by mistake survives.
wipe() {
    local part
    for part in postgres state keys users tokens check tsh log pids bench ports env build bin demo; do
        rm -rf "${RL_RUN:?}/$part"
    done
    rmdir "$RL_RUN" 2>/dev/null || true
}
