# node-r1's world: a device namespace whose only neighbour is a router namespace that masquerades,
# forwards to the proxy's port alone and drops whatever comes new from outside. A leaf cluster, all of
# it, has such a namespace too, at another port of the router. The host gets one veth end and nothing
# else: no rule, no sysctl. Names and subnets derive from the directory. Sourced.
netns_names() {
    local hash
    hash=$(printf %s "$RL_TOP" | sha256sum | cut -c1-6)
    NETNS_DEVICE=rl-$hash-dev
    NETNS_LEAF=rl-$hash-leaf
    NETNS_ROUTER=rl-$hash-rtr
    VETH_HOST=rl${hash}h
    VETH_UPLINK=rl${hash}u
    local a=$((0x${hash:0:2})) b=$((0x${hash:2:2} & 0xF8))
    NET_HOST=10.$a.$b.1       # the host, as the router sees it
    NET_UPLINK=10.$a.$b.2     # the router, as the proxy sees it
    NET_GATEWAY=10.$a.$((b + 1)).1
    NET_DEVICE=10.$a.$((b + 1)).2
    NET_LEAF_GATEWAY=10.$a.$((b + 2)).1
    NET_LEAF=10.$a.$((b + 2)).2
    NET_PREFIX=30
}

can_make_netns() {
    [ "$(id -u)" = 0 ] && command -v ip >/dev/null && command -v nft >/dev/null &&
        unshare --net true 2>/dev/null
}

netns_exists() { [ -e "/run/netns/$1" ]; }

# netns_attach NAMESPACE LINK GATEWAY ADDRESS: a namespace behind the router; LINK is the router's end.
netns_attach() {
    ip netns add "$1"
    ip -n "$NETNS_ROUTER" link add "$2" type veth peer name eth0 netns "$1"
    ip -n "$NETNS_ROUTER" addr add "$3/$NET_PREFIX" dev "$2"
    ip -n "$NETNS_ROUTER" link set "$2" up
    ip -n "$1" link set lo up
    ip -n "$1" addr add "$4/$NET_PREFIX" dev eth0
    ip -n "$1" link set eth0 up
    ip -n "$1" route add default via "$3"
}

netns_up() {
    local port=$1
    netns_names
    if netns_exists "$NETNS_DEVICE" && netns_exists "$NETNS_ROUTER"; then return 0; fi
    netns_down
    ip netns add "$NETNS_ROUTER"
    ip link add "$VETH_HOST" type veth peer name "$VETH_UPLINK" netns "$NETNS_ROUTER"
    ip addr add "$NET_HOST/$NET_PREFIX" dev "$VETH_HOST"
    ip link set "$VETH_HOST" up
    ip -n "$NETNS_ROUTER" link set lo up
    ip -n "$NETNS_ROUTER" link set "$VETH_UPLINK" name uplink
    ip -n "$NETNS_ROUTER" addr add "$NET_UPLINK/$NET_PREFIX" dev uplink
    ip -n "$NETNS_ROUTER" link set uplink up
    netns_attach "$NETNS_DEVICE" lan "$NET_GATEWAY" "$NET_DEVICE"
    ip netns exec "$NETNS_ROUTER" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    ip netns exec "$NETNS_ROUTER" nft -f - <<RULES
table inet router {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname { "lan", "leaf" } oifname "uplink" ip daddr $NET_HOST tcp dport $port accept
    }
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
        iifname "lo" accept
    }
    chain leaving {
        type nat hook postrouting priority 100;
        oifname "uplink" masquerade
    }
}
RULES
}

netns_up_leaf() {
    netns_exists "$NETNS_LEAF" || netns_attach "$NETNS_LEAF" leaf "$NET_LEAF_GATEWAY" "$NET_LEAF"
}

netns_down() {
    netns_names
    ip link delete "$VETH_HOST" 2>/dev/null || true
    ip netns delete "$NETNS_DEVICE" 2>/dev/null || true
    ip netns delete "$NETNS_LEAF" 2>/dev/null || true
    ip netns delete "$NETNS_ROUTER" 2>/dev/null || true
}
