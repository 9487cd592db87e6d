# `./dev build agent --arch=amd64|arm64|armhf`: one static file for devices. Another architecture is
# cross-built: Debian's compilers are installed, its libraries only unpacked beside the build, so
# that this machine's own packages stay as they are. Sourced.
. "$RL_ROOT/tools/dev/packages.sh"

agent_triplet() {
    case $1 in
    amd64) echo x86_64-linux-gnu ;;
    arm64) echo aarch64-linux-gnu ;;
    armhf) echo arm-linux-gnueabihf ;;
    *) die "--arch is amd64, arm64 or armhf, not $1" ;;
    esac
}

# With lists, cache and status of its own, as if this machine had the one architecture. Where
# packages come from, and whose signatures count, is this machine's.
agent_apt() {
    local arch=$1 apt=$2
    shift 2
    apt-get -qq -o APT::Architecture="$arch" -o APT::Architectures="$arch" \
        -o APT::Sandbox::User=root -o APT::Update::Error-Mode=any \
        -o Dir::State="$apt/state" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" \
        -o Debug::NoLocking=1 "$@"
}

# The libraries' own names in SYSROOT.list say when it has to be made again; to have newer ones of
# the same names, remove the directory.
agent_sysroot() {
    local arch=$1 root=$2 apt=$2/apt names deb
    # shellcheck disable=SC2086 # a list of words
    names=$(printf '%s\n' $RL_PACKAGES_DEVICE)
    [ "$(cat "$root/names" 2>/dev/null)" != "$names" ] || return 0
    say_step "fetching libraries for $arch"
    rm -rf "$root"
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/debs" "$root/sysroot"
    : >"$apt/status"
    agent_apt "$arch" "$apt" update >"$RL_RUN/log/apt-$arch.log" 2>&1 ||
        {
            grep -E '^[EW]: ' "$RL_RUN/log/apt-$arch.log" >&2 || true
            say "not all package lists could be fetched: the newest fixes may be missing"
        }
    # shellcheck disable=SC2086
    (cd "$apt/debs" && agent_apt "$arch" "$apt" download $RL_PACKAGES_DEVICE) \
        >>"$RL_RUN/log/apt-$arch.log" 2>&1 ||
        {
            tail -20 "$RL_RUN/log/apt-$arch.log" >&2
            die "not all libraries can be fetched for $arch"
        }
    for deb in "$apt"/debs/*.deb; do
        dpkg-deb --extract "$deb" "$root/sysroot"
        dpkg-deb --show "$deb"
    done >"$root/libraries"
    rm -rf "$apt"
    printf '%s\n' "$names" >"$root/names"
}

agent_strip() {
    local strip=$1 from=$2 to=$3
    "$strip" --strip-all -R .comment -o "$to.new" "$from"
    mv "$to.new" "$to"
}

agent_usage() {
    echo 'usage: ./dev build agent [--arch=amd64|arm64|armhf]   (this machine'\''s own unless said)'
}

# What was built, with its path, on stdout.
agent_build() {
    local arch triplet dir log tools=() flags=()
    arch=$(dpkg --print-architecture)
    case ${1:-} in
    --arch=*) arch=${1#--arch=} ;;
    '') ;;
    *)
        agent_usage >&2
        exit 2
        ;;
    esac
    triplet=$(agent_triplet "$arch")
    dir=$(build_dir "agent-$arch")
    mkdir -p "$RL_RUN/log" "$dir"
    # shellcheck disable=SC2086
    ensure_packages $RL_PACKAGES_AGENT
    if [ "$arch" != "$(dpkg --print-architecture)" ]; then
        tools=(gcc-"$triplet" g++-"$triplet")
        ensure_packages "${tools[@]}"
        agent_sysroot "$arch" "$dir/device"
        flags=(-DCMAKE_TOOLCHAIN_FILE="$RL_ROOT/cmake/device.cmake" -DRL_TRIPLET="$triplet"
            -DRL_SYSROOT="$dir/device/sysroot")
    else
        # shellcheck disable=SC2086
        ensure_packages $RL_PACKAGES_DEVICE
    fi
    say_step "building the agent for $arch"
    log=$RL_RUN/log/agent-$arch.log
    (cd "$RL_ROOT" && cmake --preset agent -B "$dir" "${flags[@]}" && cmake --build "$dir" --target remoteler) \
        >"$log" 2>&1 ||
        {
            grep -B2 -A12 -E 'error|Error|FAILED' "$log" | head -60 >&2
            die "the build failed; all of it: $log"
        }
    agent_strip "$triplet-strip" "$dir/bin/remoteler" "$dir/remoteler"
    # Where the tests are: an image is built without them.
    if [ -e "$RL_ROOT/tests/hardening/agent_file.py" ] && command -v python3 >/dev/null; then
        python3 -B "$RL_ROOT/tests/hardening/agent_file.py" "$dir" >"$RL_RUN/log/agent-$arch-hardening.log" ||
            die "the agent for $arch is not hardened as it should be: $(cat "$RL_RUN/log/agent-$arch-hardening.log")"
    fi
    say "the agent for $arch: $(stat -c %s "$dir/remoteler") bytes"
    printf '%s\n' "$dir/remoteler"
}
