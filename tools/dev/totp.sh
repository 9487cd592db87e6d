# One-time codes of the demo users: each is printed once. USER@leaf is a user of the leaf. Sourced.
. "$RL_ROOT/tools/dev/packages.sh"
. "$RL_ROOT/tools/dev/clusters.sh"

rl_dev_totp() {
    case ${1:-} in
    *@*) (use_cluster "${1##*@}" && print_code "${1%@*}") ;;
    *) print_code "${1:-alice}" ;;
    esac
}

print_code() {
    local user=$1 secret=$RL_RUN/users/$1.totp last step now
    [ -r "$secret" ] || die "no such demo user here: $user (run ./dev up first)"
    command -v oathtool >/dev/null || ensure_packages oathtool
    exec 8>"$RL_RUN/users/$user.totp.lock"
    flock 8
    last=$(cat "$RL_RUN/users/$user.totp.step" 2>/dev/null || echo 0)
    while :; do
        now=$(date +%s)
        step=$((now / 30))
        [ "$step" -gt "$last" ] || step=$((last + 1))
        # auth takes a code one step early, no more
        [ "$step" -le $((now / 30 + 1)) ] && break
        sleep 0.2
    done
    printf '%s\n' "$step" >"$RL_RUN/users/$user.totp.step"
    oathtool --totp -b --now="@$((step * 30))" - <"$secret"
}
