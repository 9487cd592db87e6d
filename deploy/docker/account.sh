#!/bin/sh
# account.sh EPOCH NAME ID [DIRECTORY...]: an account, and directories that are its own.
set -eu
epoch=$1 name=$2 id=$3
begun=$(mktemp -p /dev/shm)
shift 3
echo "$name:x:$id:$id::/home/$name:/bin/bash" >>/etc/passwd
echo "$name:x:$id:" >>/etc/group
echo "$name:*:19000::::::" >>/etc/shadow
for directory in "/home/$name" "$@"; do
    mkdir -p "$directory"
    chown "$id:$id" "$directory"
    chmod 700 "$directory"
done
# What the build mounts is not the layer's.
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /etc/hosts -o -path /etc/resolv.conf \) \
    -prune -o -newer "$begun" -exec touch -h -d "@$epoch" {} +
rm "$begun"
