# The second cluster, in a network from where only the first one's public port is reached, and the trust
# between the two. Sourced.

# What its users' roles at the root are worth here is in connect_leaf's role_map.
LEAF_GUESTS='kind: role
version: v1
metadata: {name: guest}
spec:
  allow:
    logins: ["{{external.logins}}"]
    node_labels: {"*": "*"}
    rules: [{resources: [session, event], verbs: [list, read], where: own}]
  options: {port_forwarding: true}
'

tctl_of_leaf() { (use_cluster leaf && load_ports && tctl "$@"); }

make_leaf() {
    use_cluster leaf
    make_all_of_cluster
    make_user bob access,auditor
    write_env bob
}

# As its administrator does: a token from the root's, and one document. Its output names the token's
# trouble, never the token.
connect_leaf() {
    local token proxy=$RL_LOOPBACK:$PORT_proxy log=$RL_TOP/leaf/log/trust.log
    if tctl_of_leaf get "trusted_cluster/$RL_CLUSTER" >/dev/null 2>&1; then return 0; fi
    say_step "leaf trusts $RL_CLUSTER"
    if netns_exists "$NETNS_LEAF"; then proxy=$NET_HOST:$PORT_proxy; fi
    token=$(tctl tokens add --type=trusted_cluster --ttl=10m --format=json | jq -er .token)
    printf '%s---\n' "$LEAF_GUESTS" | cat - <(
        cat <<YAML
kind: trusted_cluster
version: v1
metadata: {name: $RL_CLUSTER}
spec:
  enabled: true
  token: "$token"
  proxy: "$proxy"
  role_map:
    - {remote: access, local: [guest]}
YAML
    ) | tctl_of_leaf create -f - >"$log" 2>&1 || {
        tail -5 "$log" >&2
        die "leaf could not be connected to $RL_CLUSTER; see ./dev logs leaf-auth, auth"
    }
}

leaf_is_online() {
    TSH_HOME=$RL_RUN/check/tsh "$(bin_dir)/tsh" clusters --format=json |
        jq -e 'any(.name == "leaf" and .status == "online")'
}

up_leaf() {
    local node
    if netns_exists "$NETNS_ROUTER"; then netns_up_leaf; fi
    (make_leaf)
    connect_leaf
    wait_until 30 "leaf to be online at $RL_CLUSTER" leaf_is_online
    say_step "sessions in leaf, through $RL_CLUSTER"
    for node in node-b node-rb; do
        check_host "$node.leaf" "see ./dev logs proxy, broker, leaf-broker, leaf-auth, $node"
    done
}

say_what_next_with_leaf() {
    cat >&2 <<TEXT

In the leaf, logged in at the root only:
  tsh clusters
  tsh ls --cluster=leaf
  ssh node-b.leaf hostname
  ssh node-rb.leaf hostname
And as the leaf's administrator, or its user bob:
  . $RL_RUN/leaf/env
  tctl audit search --last=10m
  tsh login --user=bob --password-file=\$REMOTELER_DEMO_PASSWORD_FILE --otp=\$(./dev totp bob@leaf)
TEXT
}
