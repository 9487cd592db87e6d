# Stops everything; --wipe forgets it too. Sourced.
. "$RL_ROOT/tools/dev/process.sh"

stop_cluster() {
    local name reversed=""
    for name in $RL_PROCESSES; do reversed="$name $reversed"; done
    for name in $reversed; do stop_process "$name"; done
}

rl_dev_down() {
    case ${1:-} in
    --wipe | '') ;;
    *) die "down takes --wipe or nothing" ;;
    esac
    (use_cluster leaf && stop_cluster)
    stop_cluster
    if [ "$(id -u)" = 0 ] && command -v ip >/dev/null; then netns_down; fi
    [ "${1:-}" = --wipe ] || return 0
    (use_cluster leaf && wipe)
    wipe
}

# Only what `up` made: a directory that somebody named by mistake survives.
wipe() {
    local part
    for part in postgres state keys users tokens check tsh log pids bench ports env build bin demo; do
        rm -rf "${RL_RUN:?}/$part"
    done
    rmdir "$RL_RUN" 2>/dev/null || true
}
