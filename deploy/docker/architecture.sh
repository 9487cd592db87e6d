#!/bin/sh
# Docker's word for an architecture as Debian's.
case $1 in arm) echo armhf ;; *) echo "$1" ;; esac
