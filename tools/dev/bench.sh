# Benchmarks against real peers. They take half an hour and want the machine for themselves: never a
# part of CI. Sourced.
. "$RL_ROOT/tools/dev/build.sh"

# A peer that can not be installed is missed, and its benchmark says so.
install_peers() {
    # shellcheck disable=SC2086
    (ensure_packages $RL_PACKAGES_BENCH) || say "not all peers are installed"
}

rl_dev_bench() {
    local dir
    mkdir -p "$RL_RUN/log" "$RL_RUN/bench"
    dir=$(build_dir release)
    case " $* " in
    *" --help "* | *" -h "*) ;;
    *)
        # shellcheck disable=SC2086
        ensure_packages $RL_PACKAGES_RUN python3
        install_peers
        rl_dev_build release
        cmake --build "$dir" --target bench_programs >"$RL_RUN/log/bench-build.log" 2>&1 ||
            die "the benchmarks' own programs failed to build: $RL_RUN/log/bench-build.log"
        ;;
    esac
    python3 -B "$RL_ROOT/bench/run.py" --out="$RL_RUN/bench" --programs="$dir/bin" "$@"
}
