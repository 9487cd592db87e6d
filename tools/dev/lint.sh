# Every check that CI makes and that runs nothing. Sourced.
. "$RL_ROOT/tools/dev/build.sh"
. "$RL_ROOT/tools/dev/fmt.sh"

LINT_FAILED=0
lint_step() {
    local name=$1
    shift
    if "$@" >"$RL_RUN/log/lint-$name.log" 2>&1; then
        say "lint: $name ok"
    else
        say "lint: $name FAILED"
        head -40 "$RL_RUN/log/lint-$name.log" >&2
        LINT_FAILED=1
    fi
}

check_format() { c_sources | xargs -r clang-format --dry-run --Werror; }
check_shell() {
    git ls-files '*.sh' dev .ci/run | xargs -r shellcheck -x -s bash -S warning -e SC2034
}
check_cppcheck() {
    git ls-files 'lib/*.c' 'services/*.c' 'agent/*.c' 'cli/*.c' |
        xargs -r cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr \
            -U__clang_analyzer__ \
            --suppress=missingIncludeSystem --suppress=unknownMacro --error-exitcode=1 \
            --template=gcc -Ilib -j2
}

# clang-tidy with what the compiler is told. The messages' headers are generated; nothing else is
# built. About two minutes on two cores.
check_tidy() {
    local dir
    dir=$(build_dir dev)
    cmake --preset dev -B "$dir" && cmake --build "$dir" --target rl_proto || return 1
    git ls-files 'lib/*.c' 'services/*.c' 'agent/*.c' 'cli/*.c' | grep -vE '/(tests|fuzz)/' |
        xargs -r run-clang-tidy -j"$(nproc)" -quiet -p "$dir" -extra-arg=-Wno-unknown-warning-option \
            >"$RL_RUN/log/tidy.log" 2>&1 && return
    grep -aE 'error:' "$RL_RUN/log/tidy.log" | sort -u
    return 1
}

rl_dev_lint() {
    mkdir -p "$RL_RUN/log"
    # shellcheck disable=SC2086
    ensure_packages $RL_PACKAGES_LINT $RL_PACKAGES_BUILD git
    cd "$RL_ROOT" || exit 1
    lint_step format check_format
    lint_step shell check_shell
    lint_step includes bash cmake/check-includes.sh
    lint_step sizes bash cmake/check-sizes.sh
    lint_step cppcheck check_cppcheck
    lint_step clang-tidy check_tidy
    [ "$LINT_FAILED" = 0 ] || die "lint found something; the logs are in $RL_RUN/log"
}
