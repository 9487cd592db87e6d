# `./dev image-base`: debian:bookworm-slim, made from the package source that this machine is
# configured for, under the name by which the Dockerfile knows it. Where a registry can be reached
# nobody needs it. Sourced.
. "$RL_ROOT/tools/dev/docker.sh"

RL_BASE_IMAGE=debian:bookworm-slim
RL_BASE_RELEASE=bookworm

# Where packages come from and how, as this machine has it; a build inside the image then has it too.
base_sources() {
    local file
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
        if grep -qs "$RL_BASE_RELEASE" "$file"; then printf '%s\n' "$file"; fi
    done
}

# As the slim image of the same name leaves out what only people read.
base_make() {
    local tar=$1 sources
    mapfile -t sources < <(base_sources)
    [ ${#sources[@]} -gt 0 ] || die "no package source for $RL_BASE_RELEASE is configured in /etc/apt"
    apt-config dump | grep -E '^Acquire::(http|https|Check-Valid-Until|Check-Date|Retries)' >"$tar.conf" || true
    SOURCE_DATE_EPOCH=$(date -d "$(date +%F)" +%s) mmdebstrap --variant=minbase --quiet \
        --include=ca-certificates --aptopt="$tar.conf" \
        --customize-hook='rm -f "$1/etc/resolv.conf"; for f in hosts hostname resolv.conf; do : >"$1/etc/$f"; done' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
        "$RL_BASE_RELEASE" "$tar" "${sources[@]}" >"$RL_RUN/log/image-base.log" 2>&1 ||
        {
            tail -10 "$RL_RUN/log/image-base.log" >&2
            die "the base image could not be made"
        }
}

rl_dev_image_base() {
    local tar=$RL_RUN/image-base.tar
    case ${1:-} in
    '' | --force) ;;
    *)
        say_error 'usage: ./dev image-base [--force]'
        exit 2
        ;;
    esac
    mkdir -p "$RL_RUN/log"
    docker_answers || die "no Docker Engine answers; start one, or set DOCKER_HOST"
    if [ "${1:-}" != --force ] && docker image inspect "$RL_BASE_IMAGE" >/dev/null 2>&1; then
        say "$RL_BASE_IMAGE is there"
        return 0
    fi
    ensure_packages mmdebstrap
    say_step "making $RL_BASE_IMAGE"
    base_make "$tar"
    docker import --change 'CMD ["bash"]' "$tar" "$RL_BASE_IMAGE" >/dev/null
    rm -f "$tar" "$tar.conf"
}
