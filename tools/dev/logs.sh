# A process' log. Sourced.
rl_dev_logs() {
    [ $# -ge 1 ] || die "whose log? ./dev logs NAME [tail's options]; the names: ./dev ps"
    local name=$1
    shift
    [ -r "$RL_RUN/log/$name.log" ] || die "no log of $name in $RL_RUN/log"
    tail -n 50 "$@" "$RL_RUN/log/$name.log"
}
