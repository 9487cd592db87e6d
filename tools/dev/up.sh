# From nothing to a session through the tunnel. A second `up` finds all done and changes nothing.
# Sourced.
. "$RL_ROOT/tools/dev/units.sh"
. "$RL_ROOT/tools/dev/totp.sh"
. "$RL_ROOT/tools/dev/leaf.sh"

DEMO_ACCOUNT=remoteler-demo

make_directories() {
    mkdir -p "$RL_RUN"/{keys,tokens,users,state,pids,log,bin}
    chmod 700 "$RL_RUN/keys" "$RL_RUN/tokens" "$RL_RUN/users" "$RL_RUN/state"
}

# A leaf's are entered with its network, where everything of it is.
link_programs() {
    local program
    for program in tsh tctl remoteler; do
        if [ ${#IN_NET[@]} = 0 ]; then
            ln -sfn "$(bin_dir)/$program" "$RL_RUN/bin/$program"
        else
            printf '#!/bin/sh\nexec %s %s "$@"\n' "${IN_NET[*]@Q}" "$(bin_dir)/$program" >"$RL_RUN/bin/$program.new"
            chmod 755 "$RL_RUN/bin/$program.new"
            mv "$RL_RUN/bin/$program.new" "$RL_RUN/bin/$program"
        fi
    done
}

# An unprivileged account to log in as; nothing is installed for it.
make_account() {
    id "$DEMO_ACCOUNT" >/dev/null 2>&1 && return 0
    if [ "$(id -u)" != 0 ]; then
        say "not root: no account $DEMO_ACCOUNT; alice logs in as $(id -un) only"
        return 0
    fi
    say_step "making the account $DEMO_ACCOUNT"
    useradd --system --create-home --home-dir "/home/$DEMO_ACCOUNT" --shell /bin/bash "$DEMO_ACCOUNT"
}

make_network() {
    if can_make_netns; then
        netns_up "$PORT_proxy"
    else
        say "no network namespace can be made here: node-r1 runs beside the rest; it listens nowhere"
    fi
}

random_secret() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }

# A PostgreSQL cluster of our own, with a role for each service: auth's, audit's (which can insert
# and read) and the owner of audit's tables.
make_postgres() {
    [ -e "$RL_RUN/postgres/PG_VERSION" ] && return 0
    say_step "making a private PostgreSQL"
    local role admin
    admin=$(random_secret)
    : >"$RL_RUN/keys/pgpass.new"
    chmod 600 "$RL_RUN/keys/pgpass.new"
    mkdir -p "$RL_RUN/postgres"
    [ "$(id -u)" = 0 ] && chown postgres "$RL_RUN/postgres"
    chmod 700 "$RL_RUN/postgres"
    (as_postgres "$(postgres_bin)/initdb" -D "$RL_RUN/postgres" -U postgres -A scram-sha-256 \
        --pwfile=<(printf '%s\n' "$admin") --encoding=UTF8 --locale=C) >"$RL_RUN/log/initdb.log" 2>&1 ||
        {
            tail -5 "$RL_RUN/log/initdb.log" >&2
            rm -rf "${RL_RUN:?}/postgres"
            die "initdb failed"
        }
    start_process postgres
    {
        for role in remoteler_auth remoteler_audit_owner remoteler_audit; do
            local secret
            secret=$(random_secret)
            printf '*:*:*:%s:%s\n' "$role" "$secret" >>"$RL_RUN/keys/pgpass.new"
            printf "CREATE ROLE %s LOGIN PASSWORD '%s';\n" "$role" "$secret"
        done
        echo 'CREATE DATABASE remoteler;'
        echo '\connect remoteler'
        echo 'REVOKE ALL ON DATABASE remoteler FROM PUBLIC;'
        echo 'GRANT CONNECT ON DATABASE remoteler TO remoteler_auth, remoteler_audit_owner, remoteler_audit;'
        echo 'GRANT CREATE ON DATABASE remoteler TO remoteler_auth, remoteler_audit_owner;'
    } | PGPASSWORD=$admin "${IN_NET[@]}" psql -q -v ON_ERROR_STOP=1 -h "$RL_LOOPBACK" -p "$PORT_postgres" \
        -U postgres -d postgres >"$RL_RUN/log/psql.log" 2>&1 ||
        {
            tail -5 "$RL_RUN/log/psql.log" >&2
            die "the database could not be prepared"
        }
    printf '%s\n' "$admin" >"$RL_RUN/keys/postgres_password"
    mv "$RL_RUN/keys/pgpass.new" "$RL_RUN/keys/pgpass"
}

make_cluster() {
    [ -s "$RL_RUN/keys/ca_pin" ] && return 0
    say_step "making the cluster $RL_CLUSTER_NAME"
    "${IN_NET[@]}" "$(bin_dir)/remoteler-auth" bootstrap --cluster="$RL_CLUSTER_NAME" \
        --database="$(database remoteler_auth)" --key-file="$RL_RUN/keys/auth.key" \
        --public-address="$RL_LOOPBACK:$PORT_proxy" \
        --identity-out="$RL_RUN/keys/admin.pem" --service-tokens-out="$RL_RUN/tokens" \
        --format=json >"$RL_RUN/keys/bootstrap.json" 2>"$RL_RUN/log/bootstrap.log" ||
        {
            tail -5 "$RL_RUN/log/bootstrap.log" >&2
            die "bootstrap failed"
        }
    jq -er .ca_pin "$RL_RUN/keys/bootstrap.json" >"$RL_RUN/keys/ca_pin.new"
    mv "$RL_RUN/keys/ca_pin.new" "$RL_RUN/keys/ca_pin"
}

tctl() {
    REMOTELER_AUTH_SERVER=$RL_LOOPBACK:$PORT_auth REMOTELER_IDENTITY_FILE=$RL_RUN/keys/admin.pem \
        "${IN_NET[@]}" "$(bin_dir)/tctl" "$@"
}

make_token() {
    [ -s "$RL_RUN/tokens/$1.token" ] && return 0
    tctl tokens add --type=node --names="$1" --ttl=1h --format=json | jq -er .token >"$RL_RUN/tokens/$1.new"
    mv "$RL_RUN/tokens/$1.new" "$RL_RUN/tokens/$1.token"
}

# make_user NAME [ROLES]: invited by the administrator, signed up as a person would, from files.
make_user() {
    local name=$1 roles=${2:-access} url logins
    [ -s "$RL_RUN/users/$name.totp" ] && return 0
    logins=$(id -un)
    id "$DEMO_ACCOUNT" >/dev/null 2>&1 && logins+=",$DEMO_ACCOUNT"
    url=$(tctl users add "$name" --roles="$roles" --logins="$logins" --format=json | jq -er .invite_url)
    random_secret >"$RL_RUN/users/$name.password"
    "${IN_NET[@]}" "$(bin_dir)/tsh" signup "$url" --password-file="$RL_RUN/users/$name.password" \
        --totp-secret-out="$RL_RUN/users/$name.totp.new" --ca-pin="$(cat "$RL_RUN/keys/ca_pin")" \
        >"$RL_RUN/log/signup-$name.log" 2>&1 ||
        {
            cat "$RL_RUN/log/signup-$name.log" >&2
            die "$name could not sign up"
        }
    # The code of the sign-up is spent.
    printf '%s\n' "$(($(date +%s) / 30))" >"$RL_RUN/users/$name.totp.step"
    mv "$RL_RUN/users/$name.totp.new" "$RL_RUN/users/$name.totp"
}

# write_env USER: what people source to use this cluster, as this user.
write_env() {
    local user=$1 netns=""
    if [ "$RL_CLUSTER" = dev ] && netns_exists "$NETNS_DEVICE"; then netns=$NETNS_DEVICE; fi
    cat >"$RL_RUN/env.new" <<ENV
# Written by ./dev up. Safe to source twice, in sh and bash.
case "\$PATH:" in "$RL_RUN/bin:"*) ;; *) PATH="$RL_RUN/bin:\$PATH" ;; esac
export PATH
export REMOTELER_PROXY=$RL_LOOPBACK:$PORT_proxy
export REMOTELER_WEB_URL=https://$RL_LOOPBACK:$PORT_proxy
export REMOTELER_CA_PIN=$(cat "$RL_RUN/keys/ca_pin")
export REMOTELER_DEMO_USER=$user
export REMOTELER_DEMO_PASSWORD_FILE="$RL_RUN/users/$user.password"
export REMOTELER_DEMO_TOTP_SECRET_FILE="$RL_RUN/users/$user.totp"
export REMOTELER_DEMO_NETNS=$netns
export REMOTELER_AUTH_SERVER=$RL_LOOPBACK:$PORT_auth
export REMOTELER_IDENTITY_FILE="$RL_RUN/keys/admin.pem"
ENV
    mv "$RL_RUN/env.new" "$RL_RUN/env"
}

# A real session through the tunnel, as a user of its own.
check_session() {
    local home=$RL_RUN/check/tsh
    mkdir -p "$home"
    chmod 700 "$RL_RUN/check" "$home"
    say_step "a session through the tunnel"
    if ! TSH_HOME=$home "$(bin_dir)/tsh" status >/dev/null 2>&1; then
        TSH_HOME=$home SSH_AUTH_SOCK='' "$(bin_dir)/tsh" login --proxy="$RL_LOOPBACK:$PORT_proxy" \
            --user=dev-check --password-file="$RL_RUN/users/dev-check.password" \
            --otp="$(rl_dev_totp dev-check)" --ca-pin="$(cat "$RL_RUN/keys/ca_pin")" \
            --no-ssh-config || die "the check user could not log in"
    fi
    check_host node-r1 "see ./dev logs proxy, broker, node-r1"
}

# check_host HOST WHERE: what its host name is, by stock ssh.
check_host() {
    local said
    said=$(ssh -F "$RL_RUN/check/tsh/ssh_config" -o BatchMode=yes "$1" hostname </dev/null) ||
        die "no session on $1; $2"
    say "ssh $1 hostname: $said"
}

say_what_next() {
    cat >&2 <<TEXT

Ready. To try:
  . $RL_RUN/env
  tsh login --user=alice --password-file=\$REMOTELER_DEMO_PASSWORD_FILE --otp=\$(./dev totp)
  tsh ls
  ssh node-a hostname
  ssh node-r1 hostname
  tctl audit search --last=10m
TEXT
}

# Everything of the cluster in use, as if it were the only one.
make_all_of_cluster() {
    local name
    make_directories
    load_ports
    link_programs
    make_postgres
    start_process postgres
    make_cluster
    for name in auth audit broker proxy; do start_process "$name"; done
    for name in "$RL_DIRECT_NODE" "$RL_TUNNELLED_NODE"; do
        make_token "$name"
        start_process "$name"
    done
}

rl_dev_up() {
    local with_leaf=no
    case "$*" in
    '') ;;
    --with-leaf) with_leaf=yes ;;
    *) die "up takes --with-leaf or nothing" ;;
    esac
    make_directories
    # shellcheck disable=SC2086
    ensure_packages $RL_PACKAGES_RUN
    [ -n "${RL_BIN:-}" ] || rl_dev_build release
    load_ports
    make_account
    make_network
    make_all_of_cluster
    make_user alice
    make_user dev-check
    write_env alice
    check_session
    [ "$with_leaf" = no ] || up_leaf
    say_what_next
    [ "$with_leaf" = no ] || say_what_next_with_leaf
}
