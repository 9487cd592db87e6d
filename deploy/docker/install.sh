#!/bin/sh
# install.sh EPOCH PACKAGE...: a layer that is the same whenever the packages are.
set -eu
epoch=$1
begun=$(mktemp -p /dev/shm)
shift
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends "$@" >/dev/null
# What the base has stays: that it was removed would be a file of the layer, with a time of its own.
find /var/lib/apt/lists /var/cache/apt /var/cache/ldconfig /tmp -type f ! -name lock \
    -cnewer "$begun" -delete
find /var/log -type f -cnewer "$begun" -exec truncate -s 0 {} +
# What the build mounts is not the layer's.
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /etc/hosts -o -path /etc/resolv.conf \) \
    -prune -o -newer "$begun" -exec touch -h -d "@$epoch" {} +
rm "$begun"
