# A process' log. Sourced.
. "$RL_ROOT/tools/dev/process.sh"

RL_TAIL=()
show_log() {
    [ -r "$RL_RUN/log/$1.log" ] || die "no log of $1 in $RL_RUN/log"
    tail -n 50 "${RL_TAIL[@]}" "$RL_RUN/log/$1.log"
}

rl_dev_logs() {
    [ $# -ge 1 ] || die "whose log? ./dev logs NAME [tail's options]; the names: ./dev ps"
    RL_TAIL=("${@:2}")
    if [ -r "$RL_TOP/log/$1.log" ]; then
        show_log "$1"
    else
        for_processes show_log "$1"
    fi
}
