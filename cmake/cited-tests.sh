#!/usr/bin/env bash
# Every test that the documents name has to be there. A name is in backticks and has at least two
# underscores: `rejects_a_certificate_signed_by_a_certificate`.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
names=$(grep -hoE '`[a-z][a-z0-9]*(_[a-z0-9]+){2,}`' "$@" | tr -d '`' | sort -u)
sources=$(find lib services tests agent cli bench -path '*test*' \( -name '*.c' -o -name '*.py' \))
[ -n "$names" ]
for name in $names; do
    # shellcheck disable=SC2086
    grep -qE "(START_TEST\($name\)|def $name\()" $sources || { echo "no test is called $name" && bad=1; }
done
exit "$bad"
