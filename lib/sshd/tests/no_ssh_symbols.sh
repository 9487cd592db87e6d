#!/bin/sh
# The monitor holds the host key: nothing of an SSH library may be called from its archive.
set -eu
undefined=$(nm --undefined-only "$1")
[ -n "$undefined" ]
if printf '%s\n' "$undefined" | grep -E ' U (ssh|_ssh|sftp|channel)_'; then
    echo "the monitor calls an SSH library" >&2
    exit 1
fi
