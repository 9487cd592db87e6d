#!/bin/sh
# Once: a password for each role of the database. PostgreSQL gets them as the statements that make
# the roles, each service as a password file of its own.
set -eu
umask 077
cd /run/remoteler
[ ! -s roles/roles.sql ] || exit 0

password() { head -c 24 /dev/urandom | base64 | tr '+/' '-_'; }

rm -f auth/pgpass audit/pgpass
for role in remoteler_auth remoteler_audit remoteler_audit_owner; do
    secret=$(password)
    case $role in
    remoteler_auth) owner=auth ;;
    *) owner=audit ;;
    esac
    echo "*:*:*:$role:$secret" >>"$owner/pgpass"
    echo "CREATE ROLE $role LOGIN PASSWORD '$secret';"
done >roles/roles.sql.new
cat >>roles/roles.sql.new <<'SQL'
CREATE DATABASE remoteler;
REVOKE ALL ON DATABASE remoteler FROM PUBLIC;
GRANT CONNECT ON DATABASE remoteler TO remoteler_auth, remoteler_audit_owner, remoteler_audit;
GRANT CREATE ON DATABASE remoteler TO remoteler_auth, remoteler_audit_owner;
SQL
mv roles/roles.sql.new roles/roles.sql
echo "made passwords for the database's roles"
