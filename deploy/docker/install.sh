#!/bin/sh
# install-packages EPOCH PACKAGE...: a layer that is the same whenever the packages are.
set -eu
epoch=$1
begun=$(mktemp -p /dev/shm)
shift
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends "$@" >/dev/null
rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/log/* /var/cache/ldconfig/aux-cache \
    /var/cache/debconf/*-old /var/lib/dpkg/*-old /tmp/*
# What the build mounts is not the layer's.
find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /etc/hosts -o -path /etc/resolv.conf \) \
    -prune -o -newer "$begun" -exec touch -h -d "@$epoch" {} +
rm "$begun"
