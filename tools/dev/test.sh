# The suites. Sourced. No argument: what CI runs, under the address and undefined-behaviour
# sanitizers.
. "$RL_ROOT/tools/dev/build.sh"
. "$RL_ROOT/tools/dev/images.sh"

TESTS_PASSED=0 TESTS_FAILED=0 TESTS_SKIPPED=0

# run_ctest LABEL DIRECTORY [COMMAND ...]: with the command in front of ctest.
run_ctest() {
    local label=$1 dir=$2 log
    shift 2
    log=$RL_RUN/log/ctest-${dir##*/}-$label.log
    say_step "tests: $label (${dir##*/})"
    (cd "$dir" && "$@" ctest -L "^$label\$" -j2 --output-on-failure --no-tests=ignore) >"$log" 2>&1 || true
    grep -E '^[0-9]+/[0-9]+|tests passed|^ *[0-9]+/[0-9]+ Test' "$log" | tail -1 >&2 || true
    local passed failed
    passed=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+: .* Passed ' "$log" || true)
    failed=$(grep -cE '^ *[0-9]+/[0-9]+ Test +#[0-9]+: .*\*\*\*(Failed|Timeout|Exception|Not Run)' "$log" || true)
    TESTS_SKIPPED=$((TESTS_SKIPPED + $(grep -cE '\*\*\*Skipped' "$log" || true)))
    TESTS_PASSED=$((TESTS_PASSED + passed))
    TESTS_FAILED=$((TESTS_FAILED + failed))
    if [ "$failed" != 0 ]; then
        grep -vE '^ *[0-9]+/[0-9]+ Test +#[0-9]+: .* Passed |^ *Start ' "$log" | head -150 >&2
    fi
}

# The end-to-end suite: a whole cluster in a directory of its own, driven by stock clients.
run_e2e() {
    local dir=$1 pattern=$2
    [ -d "$RL_ROOT/tests/e2e" ] || return 0
    RL_BIN=$dir/bin run_python "$pattern" "$RL_ROOT/tests/e2e/run.py" "$pattern"
}

# run_python NAME PROGRAM [ARGUMENT ...]: one whose last line counts.
run_python() {
    local name=$1 status=0 log=$RL_RUN/log/e2e-$1.log line
    shift
    say_step "tests: $name"
    python3 -B "$@" >"$log" 2>&1 || status=$?
    line=$(grep -E '^e2e: [0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$log" | tail -1 || true)
    if [ -z "$line" ]; then
        tail -60 "$log" >&2
        TESTS_FAILED=$((TESTS_FAILED + 1))
        return 0
    fi
    # shellcheck disable=SC2086
    set -- ${line//,/}
    TESTS_PASSED=$((TESTS_PASSED + $2))
    TESTS_FAILED=$((TESTS_FAILED + $4))
    TESTS_SKIPPED=$((TESTS_SKIPPED + $6))
    say "$line"
    grep '^figure: ' "$log" >&2 || true
    if [ "$status" != 0 ]; then grep -vE ' ok$' "$log" | tail -150 >&2; fi
}

# Each fuzzer for some seconds, with libFuzzer, from its corpus on; what it finds is left in the log
# directory, and what it learned, for the next time.
run_fuzzers() {
    local dir program name seconds=${RL_FUZZ_SECONDS:-30} work=$RL_RUN/log/fuzz
    rl_dev_build fuzz
    dir=$(build_dir fuzz)
    for program in "$dir"/bin/fuzz_*; do
        name=${program##*/fuzz_}
        say_step "fuzzing $name for $seconds s"
        mkdir -p "$work/$name/learned"
        if "$program" -max_total_time="$seconds" -print_final_stats=1 -artifact_prefix="$work/$name/" \
            "$work/$name/learned" "$dir/corpora/$name" >"$work/$name.log" 2>&1; then
            TESTS_PASSED=$((TESTS_PASSED + 1))
        else
            TESTS_FAILED=$((TESTS_FAILED + 1))
            grep -E 'ERROR|SUMMARY|runtime error|Test unit written' "$work/$name.log" >&2 || true
        fi
    done
}

# Under the thread sanitizer: all unit and integration tests, or as in CI those whose business
# threads are. With more random bits than 28 its runtime may find its own memory taken: setarch -R
# asks the kernel for none.
run_tsan() {
    local amount=$1 dir prefix=()
    if [ "$amount" = all ]; then rl_dev_build tsan; else rl_dev_build tsan threads; fi
    dir=$(build_dir tsan)
    if [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -gt 28 ]; then prefix=(setarch -R); fi
    export TSAN_OPTIONS="suppressions=$RL_ROOT/tests/tsan.supp"
    if [ "$amount" = all ]; then
        run_ctest unit "$dir" "${prefix[@]}"
        run_ctest integration "$dir" "${prefix[@]}"
    else
        run_ctest threads "$dir" "${prefix[@]}"
    fi
    unset TSAN_OPTIONS
}

# unpack_package PACKAGE FILE: a file of a package of Debian's, where it is only wanted to look at or
# to try things with: unpacked beside the builds, not installed. Prints where, when it is there.
unpack_package() {
    local package=$1 file=$2 dir
    dir=$(build_dir "$package")
    if [ ! -x "$dir/$file" ]; then
        mkdir -p "$dir"
        (cd "$dir" && { apt-get -qq download "$package" || { apt-get -qq update && apt-get -qq download "$package"; }; } &&
            dpkg-deb --extract "${package}"_*.deb . && rm -f "${package}"_*.deb) >"$RL_RUN/log/$package.log" 2>&1 ||
            say "no $package; see $RL_RUN/log/$package.log"
    fi
    printf '%s\n' "$dir/$file"
}

# What the end-to-end tests want besides the programs: static agents, a shell for a device that has
# nothing, and what reads Prometheus' rules.
make_agents() {
    local arch
    for arch in "$@"; do (agent_build --arch="$arch" >/dev/null); done
    RL_AGENTS=$(dirname "$(build_dir agent)")
    RL_BUSYBOX=$(unpack_package busybox-static bin/busybox)
    RL_PROMTOOL=$(unpack_package prometheus usr/bin/promtool)
    export RL_AGENTS RL_BUSYBOX RL_PROMTOOL
}

# The stack of docker-compose.yml, on the machine's Docker Engine or on one of our own.
run_containers() {
    local images
    if ! docker_engine "$RL_RUN/docker" || ! docker_plugins "$RL_RUN/docker"; then
        say "containers: SKIPPED: no Docker Engine with Compose v2 can be had here"
        TESTS_SKIPPED=$((TESTS_SKIPPED + 1))
        docker_engine_stop
        return 0
    fi
    read -ra images <<<"${RL_IMAGES-$RL_IMAGES_ALL}"
    if ([ ${#images[@]} -eq 0 ] || rl_dev_images "${images[@]}"); then
        run_python containers "$RL_ROOT/tests/containers/run.py"
    else
        TESTS_FAILED=$((TESTS_FAILED + 1))
    fi
    docker_engine_stop
}

# The tunnel's simulation with many more seeds than among the unit tests.
run_simulation() {
    local seeds=${RL_SIM_SEEDS:-10000} log=$RL_RUN/log/simulation.log
    say_step "tests: the tunnel's simulation, $seeds seeds"
    if RL_SIM_SEEDS=$seeds "$1/bin/test_tunnel_simulation" >"$log" 2>&1; then
        TESTS_PASSED=$((TESTS_PASSED + 1))
    else
        TESTS_FAILED=$((TESTS_FAILED + 1))
        cat "$log" >&2
    fi
}

# Every allocation of every input refused, or so many of them: among the others it is a few.
run_starved() {
    export RL_STARVE_INPUTS=${RL_STARVE_INPUTS:-1000} RL_STARVE_POSITIONS=${RL_STARVE_POSITIONS:-60}
    run_ctest memory "$1"
    unset RL_STARVE_INPUTS RL_STARVE_POSITIONS
}

rl_dev_test() {
    local suite=${1:-ci} dir
    mkdir -p "$RL_RUN/log"
    # shellcheck disable=SC2086
    ensure_packages $RL_PACKAGES_RUN $RL_PACKAGES_TEST
    case $suite in tsan | containers) ;; *) rl_dev_build dev ;; esac
    dir=$(build_dir dev)
    case $suite in
    unit | integration) run_ctest "$suite" "$dir" ;;
    fuzz)
        run_ctest fuzz "$dir"
        run_fuzzers
        ;;
    tsan) run_tsan all ;;
    e2e)
        make_agents amd64
        run_e2e "$dir" e2e
        ;;
    static)
        # shellcheck disable=SC2086
        ensure_packages $RL_PACKAGES_STATIC
        make_agents amd64 arm64 armhf
        run_e2e "$dir" static
        ;;
    faults)
        run_starved "$dir"
        run_simulation "$dir"
        run_e2e "$dir" faults
        ;;
    ci | all)
        run_ctest unit "$dir"
        run_ctest fuzz "$dir"
        run_ctest memory "$dir"
        run_ctest integration "$dir"
        run_tsan threads
        make_agents amd64
        run_e2e "$dir" e2e
        if [ "$suite" = all ]; then
            run_starved "$dir"
            run_simulation "$dir"
            run_e2e "$dir" faults
            # shellcheck disable=SC2086
            ensure_packages $RL_PACKAGES_STATIC
            make_agents arm64 armhf
            run_e2e "$dir" static
            run_tsan all
            run_fuzzers
            run_containers
        fi
        ;;
    containers) run_containers ;;
    k8s)
        say "the $suite suite comes with the capability that it tests; skipped"
        TESTS_SKIPPED=$((TESTS_SKIPPED + 1))
        ;;
    *) die "no such suite: $suite" ;;
    esac
    printf '%s passed, %s failed, %s skipped\n' "$TESTS_PASSED" "$TESTS_FAILED" "$TESTS_SKIPPED"
    [ "$TESTS_FAILED" = 0 ] && [ "$TESTS_PASSED" -gt 0 ]
}
