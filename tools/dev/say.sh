# What ./dev says, and how it says that something is wrong. Sourced.
say() { printf '%s\n' "$*" >&2; }
say_step() { printf '==> %s\n' "$*" >&2; }
say_error() { printf 'dev: %s\n' "$*" >&2; }
die() {
    say_error "$*"
    exit 1
}

# wait_until SECONDS WHAT COMMAND...: asks every 50 ms, never sleeps blindly.
wait_until() {
    local seconds=$1 what=$2 deadline
    shift 2
    deadline=$((SECONDS + seconds))
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$deadline" ] || die "waited $seconds s for $what, in vain"
        sleep 0.05
    done
}
