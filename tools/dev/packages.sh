# What each task needs from the distribution. Sourced.
RL_PACKAGES_BUILD="build-essential cmake ninja-build pkg-config protobuf-c-compiler
    libprotobuf-c-dev libprotobuf-dev libgrpc-dev libssl-dev libnghttp2-dev libpq-dev
    libmicrohttpd-dev libssh-dev zlib1g-dev libjansson-dev libyaml-dev libpcre2-dev libargon2-dev
    liboath-dev libc-ares-dev libzstd-dev check libsubunit-dev python3 openssh-client"
# What the agent is built with, and what is linked into it.
RL_PACKAGES_AGENT="build-essential cmake ninja-build pkg-config protobuf-c-compiler python3"
RL_PACKAGES_DEVICE="libprotobuf-c-dev libssl-dev libnghttp2-dev libssh-dev zlib1g-dev libjansson-dev
    libyaml-dev libpcre2-dev libc-ares-dev libzstd-dev"
RL_PACKAGES_RUN="postgresql openssh-client openssh-sftp-server iproute2 nftables oathtool jq curl
    util-linux openssl"
# Programs of other machines are emulated.
RL_PACKAGES_STATIC="qemu-user-static"
RL_PACKAGES_TEST="python3 rsync openssh-server ansible-core procps netcat-openbsd tinyproxy-bin"
RL_PACKAGES_BENCH="openssh-server haproxy libgrpc++-dev argon2"
# libFuzzer is clang's.
RL_PACKAGES_FUZZ="clang libclang-rt-14-dev"
RL_PACKAGES_LINT="clang-format clang-tidy cppcheck shellcheck"

# ensure_packages NAME...: installs what is missing; says what, when it may not.
ensure_packages() {
    local missing=() name
    for name in "$@"; do
        dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q '^install ok installed' ||
            missing+=("$name")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    [ "$(id -u)" = 0 ] || die "these packages are missing; install them as root: ${missing[*]}"
    say_step "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get -qq update >&2 || die "apt-get update failed"
    apt-get -qq install -y --no-install-recommends "${missing[@]}" >"$RL_RUN/log/apt.log" 2>&1 ||
        {
            tail -20 "$RL_RUN/log/apt.log" >&2
            die "apt-get install failed"
        }
}
