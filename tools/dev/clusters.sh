# The clusters of one directory: the first lies in it, a leaf in a directory of its own in there, laid
# out alike. Whatever is said of a cluster is said of the one in use. Sourced.
. "$RL_ROOT/tools/dev/netns.sh"

RL_LOOPBACK=127.0.0.1

# use_cluster dev|leaf: until another is used, or the subshell ends. IN_NET enters its network.
use_cluster() {
    RL_CLUSTER=$1
    RL_CLUSTER_NAME=$1
    IN_NET=()
    netns_names
    case $1 in
    dev)
        RL_CLUSTER_NAME=${REMOTELER_DEV_CLUSTER:-dev} # tests: of several, each has a name
        RL_RUN=$RL_TOP
        RL_PREFIX=""
        RL_DIRECT_NODE=node-a
        RL_TUNNELLED_NODE=node-r1
        ;;
    leaf)
        RL_RUN=$RL_TOP/leaf
        RL_PREFIX=leaf-
        RL_DIRECT_NODE=node-b
        RL_TUNNELLED_NODE=node-rb
        if netns_exists "$NETNS_LEAF"; then IN_NET=(nsenter --net="/run/netns/$NETNS_LEAF"); fi
        ;;
    *) die "no cluster is called $1; there are: dev, leaf" ;;
    esac
    RL_SERVICES="postgres auth audit broker proxy"
    RL_PROCESSES="$RL_SERVICES $RL_DIRECT_NODE $RL_TUNNELLED_NODE"
}

# Those that were set up here.
clusters_here() {
    [ ! -s "$RL_TOP/ports" ] || echo dev
    [ ! -s "$RL_TOP/leaf/ports" ] || echo leaf
}

# What people call a process: a leaf's services with its name in front; nodes have names of their own.
public_name() {
    case " $RL_SERVICES " in
    *" $1 "*) printf '%s%s\n' "$RL_PREFIX" "$1" ;;
    *) printf '%s\n' "$1" ;;
    esac
}

# for_processes COMMAND NAME...: COMMAND with the name that each has in its cluster, there, in the
# order in which they need each other.
for_processes() {
    local command=$1 known="" cluster
    shift
    for cluster in $(clusters_here); do
        known+=$(
            use_cluster "$cluster"
            for name in $RL_PROCESSES; do printf ' %s' "$(public_name "$name")"; done
        )
    done
    [ -n "$known" ] || die "nothing was set up here; run ./dev up"
    local name
    for name in "$@"; do
        case "$known " in
        *" $name "*) ;;
        *) die "no process is called $name; there are:$known" ;;
        esac
    done
    for cluster in $(clusters_here); do
        (
            use_cluster "$cluster"
            for name in $RL_PROCESSES; do
                case " $* " in *" $(public_name "$name") "*) "$command" "$name" ;; esac
            done
        )
    done
}

use_cluster dev
