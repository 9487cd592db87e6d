# `./dev images`: the images of docker-compose.yml, from these sources; the base image too, where it
# can not be pulled. Sourced.
. "$RL_ROOT/tools/dev/image-base.sh"

RL_IMAGES_ALL="postgres auth audit broker proxy node agent tools prometheus"

# The agent's is for the architecture of the device: agent, agent-amd64, agent-arm64, agent-armhf.
image_build() {
    local name=$1 platform=()
    case $name in
    agent-amd64 | agent-arm64) platform=(--platform="linux/${name#agent-}") ;;
    agent-armhf) platform=(--platform=linux/arm/v7) ;;
    esac
    docker buildx build --progress=plain "${platform[@]}" --target="${name%%-*}" \
        --file="$RL_ROOT/deploy/docker/Dockerfile" --tag="remoteler/$name:${REMOTELER_TAG:-dev}" \
        --build-arg=COMMIT="${REMOTELER_COMMIT:-unknown}" --build-arg=BUILT="${REMOTELER_BUILT:-unknown}" \
        --load "$RL_ROOT"
}

rl_dev_images() {
    local name
    mkdir -p "$RL_RUN/log"
    docker_answers || die "no Docker Engine answers; start one, or set DOCKER_HOST"
    docker_plugins "$RL_RUN/docker" || die "there is no Compose v2 with buildx"
    if ! docker image inspect "$RL_BASE_IMAGE" >/dev/null 2>&1 &&
        ! docker pull -q "$RL_BASE_IMAGE" >/dev/null 2>&1; then
        rl_dev_image_base
    fi
    docker_build_environment
    # shellcheck disable=SC2086 # a list of words
    [ $# -gt 0 ] || set -- $RL_IMAGES_ALL
    : >"$RL_RUN/log/images.log"
    for name in "$@"; do
        say_step "building the image $name"
        image_build "$name" >>"$RL_RUN/log/images.log" 2>&1 ||
            {
                tail -40 "$RL_RUN/log/images.log" >&2
                die "the image could not be built; all of it: $RL_RUN/log/images.log"
            }
    done
}
