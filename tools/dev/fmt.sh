# Sourced.
. "$RL_ROOT/tools/dev/packages.sh"

c_sources() { git -C "$RL_ROOT" ls-files '*.c' '*.h'; }

rl_dev_fmt() {
    mkdir -p "$RL_RUN/log"
    ensure_packages clang-format
    (cd "$RL_ROOT" && c_sources | xargs -r clang-format -i)
}
