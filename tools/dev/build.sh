# Configures and builds a preset. Sourced.
. "$RL_ROOT/tools/dev/packages.sh"
. "$RL_ROOT/tools/dev/agent.sh"

# The build lies in the tree, or in REMOTELER_DEV_DIR when that is set.
build_dir() {
    if [ -n "${REMOTELER_DEV_DIR:-}" ]; then
        printf '%s\n' "$RL_TOP/build/$1"
    else
        printf '%s\n' "$RL_ROOT/build/$1"
    fi
}

# rl_dev_build PRESET [TARGET...]: all of it, or so much.
rl_dev_build() {
    local preset=${1:-release} dir only=()
    if [ "$preset" = agent ]; then
        agent_build "${@:2}"
        return
    fi
    if [ $# -gt 1 ]; then only=(--target "${@:2}"); fi
    mkdir -p "$RL_RUN/log"
    # shellcheck disable=SC2086 # a list of words
    ensure_packages $RL_PACKAGES_BUILD
    # shellcheck disable=SC2086
    if [ "$preset" = fuzz ]; then
        ensure_packages $RL_PACKAGES_FUZZ
        only=(--target fuzzers)
    fi
    dir=$(build_dir "$preset")
    say_step "building $preset"
    (cd "$RL_ROOT" && cmake --preset "$preset" -B "$dir") >"$RL_RUN/log/cmake.log" 2>&1 ||
        {
            tail -20 "$RL_RUN/log/cmake.log" >&2
            die "configuring failed"
        }
    cmake --build "$dir" "${only[@]}" >"$RL_RUN/log/build.log" 2>&1 ||
        {
            grep -B2 -A12 -E 'error|FAILED' "$RL_RUN/log/build.log" | head -60 >&2
            die "the build failed; all of it: $RL_RUN/log/build.log"
        }
}
