#!/usr/bin/env bash
# Holds the sources against the link lists: a library's files may include the headers of the
# libraries that its rl_library() names, directly or through them, and its own. Services, agent and
# tools never include each other.
set -euo pipefail
cd "$(dirname "$0")/.."

declare -A deps
# "name dep dep ..." for each rl_library in lib/*/CMakeLists.txt
while read -r name rest; do deps[$name]=$rest; done < <(
    cat lib/*/CMakeLists.txt lib/*/*/CMakeLists.txt 2>/dev/null | tr '\n()' '   ' |
        sed 's/rl_library /\nrl_library /g; s/rl_test /\nrl_test /g; s/rl_fuzzer /\nrl_fuzzer /g' |
        sed -n 's/^rl_library  *\([a-z0-9_]*\)/\1/p' | awk '{
            out = $1; in_deps = 0
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^(SOURCES|TESTS|TEST_DEPS)$/) in_deps = 0
                else if ($i == "DEPS") in_deps = 1
                else if (in_deps && $i ~ /^[a-z0-9_]+$/) out = out " " $i
            }
            print out
        }')

reach() { # every library that $1 may use, itself included
    local todo=("$1") seen=" $1 " next
    while [ ${#todo[@]} -gt 0 ]; do
        next=${todo[0]}
        todo=("${todo[@]:1}")
        for dep in ${deps[$next]:-}; do
            case $seen in *" $dep "*) ;; *)
                seen+="$dep "
                todo+=("$dep")
                ;;
            esac
        done
    done
    printf '%s' "$seen"
}

bad=0
for dir in lib/*/; do
    name=$(basename "$dir")
    allowed=" "
    for library in "${!deps[@]}"; do
        case $library in "$name" | "$name"_*) allowed+=$(reach "$library") ;; esac
    done
    while IFS=: read -r file header; do
        room=${header%%/*}
        [ -d "lib/$room" ] || continue
        case $file in */tests/* | */fuzz/*) continue ;; esac
        case $allowed in *" $room "*) ;; *)
            echo "$file includes $header, but $name does not name $room in its DEPS"
            bad=1
            ;;
        esac
    done < <(grep -rnoE '#include "[a-z0-9_]+/[^"]+"' "$dir" --include='*.[ch]' |
        sed -E 's/^([^:]+):[0-9]+:#include "([^"]+)"/\1:\2/')
done
for room in services/auth services/audit services/tunnel-broker services/proxy agent cli/tsh cli/tctl; do
    [ -d "$room" ] || continue
    if grep -rnE '#include "(\.\./)+(services|agent|cli|auth|audit|proxy|tunnel-broker|tsh|tctl)/' "$room"; then
        echo "$room reaches into another program"
        bad=1
    fi
done
if grep -rln '#include <grpc' lib services agent cli --include='*.[ch]' | grep -v '^lib/rpc/grpc/'; then
    echo "only lib/rpc/grpc/ may include gRPC core"
    bad=1
fi
exit $bad
