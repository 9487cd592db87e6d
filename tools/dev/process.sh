# Processes of the cluster in use: started by name, remembered by pid and start time, so that no
# other process is ever taken for one of ours. Sourced.
. "$RL_ROOT/tools/dev/clusters.sh"

start_time_of() { sed 's/^.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# pid_of NAME: its pid, when it runs.
pid_of() {
    local pid started
    [ -r "$RL_RUN/pids/$1" ] || return 1
    read -r pid started <"$RL_RUN/pids/$1"
    # A process that ended at once has left no start time; one that was not waited for is a zombie.
    [ -n "$started" ] && [ "$(start_time_of "$pid")" = "$started" ] || return 1
    [ "$(sed 's/^.*) //' "/proc/$pid/stat" 2>/dev/null | cut -c1)" != Z ] || return 1
    printf '%s\n' "$pid"
}

is_running() { pid_of "$1" >/dev/null; }

# spawn NAME COMMAND...: in a session of its own, in the cluster's network, its output in the log.
spawn() {
    local name=$1 pid
    shift
    mkdir -p "$RL_RUN/pids" "$RL_RUN/log"
    setsid "${IN_NET[@]}" "$@" </dev/null >>"$RL_RUN/log/$name.log" 2>&1 &
    pid=$!
    disown
    printf '%s %s\n' "$pid" "$(start_time_of "$pid")" >"$RL_RUN/pids/$name"
}

# stop_process NAME: asks it to end, waits, insists.
stop_process() {
    local name=$1 pid signal=TERM
    pid=$(pid_of "$name") || {
        rm -f "$RL_RUN/pids/$name"
        return 0
    }
    [ "$name" = postgres ] && signal=INT
    kill -"$signal" "$pid" 2>/dev/null || true
    local deadline=$((SECONDS + 15))
    while is_running "$name"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            say "$name did not end in 15 s; killing it"
            kill -KILL "$pid" 2>/dev/null || true
        fi
        sleep 0.05
    done
    rm -f "$RL_RUN/pids/$name"
}

# wait_for_process NAME SECONDS COMMAND...: as wait_until, but ends early with the log when NAME died.
wait_for_process() {
    local name=$1 seconds=$2 deadline
    shift 2
    deadline=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        if ! is_running "$name"; then
            tail -15 "$RL_RUN/log/$name.log" >&2
            die "$name ended; its log: $RL_RUN/log/$name.log"
        fi
        if [ "$SECONDS" -ge "$deadline" ]; then
            tail -15 "$RL_RUN/log/$name.log" >&2
            die "$name is not ready after $seconds s; its log: $RL_RUN/log/$name.log"
        fi
        sleep 0.05
    done
}
