# Benchmarks against real peers. They take minutes and want the machine for themselves: never a part
# of CI. Sourced.
. "$RL_ROOT/tools/dev/build.sh"

# A peer that can not be installed is skipped, and bench/run.py says so.
install_peers() {
    # shellcheck disable=SC2086
    (ensure_packages $RL_PACKAGES_BENCH) || say "not all peers are installed"
}

rl_dev_bench() {
    mkdir -p "$RL_RUN/log" "$RL_RUN/bench"
    # shellcheck disable=SC2086
    ensure_packages $RL_PACKAGES_RUN python3
    install_peers
    python3 -B "$RL_ROOT/bench/run.py" --out="$RL_RUN/bench" --programs="$(build_dir release)/bin" "$@"
}
