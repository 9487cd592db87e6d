#!/usr/bin/env bash
# A file over 800 lines or a function over 70 is two things.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
while read -r lines file; do
    [ "$file" = total ] && continue
    if [ "$lines" -gt 800 ]; then
        echo "$file has $lines lines"
        bad=1
    fi
done < <(git ls-files 'lib/*.[ch]' 'services/*.[ch]' 'agent/*.[ch]' 'cli/*.[ch]' 'web/*.ts*' | xargs -r wc -l)
# In our format a function's body starts with "{" and ends with "}" in the first column.
while read -r file; do
    awk -v file="$file" '
        /^\{/ { start = NR }
        /^\}/ && start { if (NR - start > 70) { print file ":" start ": a function of " NR - start " lines"; bad = 1 } start = 0 }
        END { exit bad }' "$file" || bad=1
done < <(git ls-files 'lib/*.c' 'services/*.c' 'agent/*.c' 'cli/*.c')
exit $bad
