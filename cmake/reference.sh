#!/usr/bin/env bash
# Writes man pages and the settings reference from what the built programs say of themselves.
#   reference.sh BIN_DIR OUT_DIR PROGRAM[:COMMAND] ...    OUT_DIR/man/*.1, *.8; OUT_DIR/reference/*.md
#   reference.sh --check BIN_DIR DOCS_DIR PROGRAM ...     fails where DOCS_DIR says otherwise
# A program with a table of commands lists them itself; of another, its further commands are named.
set -euo pipefail

page() { # PROGRAM [WORD ...]: under the section that the page itself names
    local name=${1##*/} text section
    [ $# = 1 ] || name+=$(printf -- '-%s' "${@:2}")
    text=$("$@" --help=man)
    section=$(sed -n '1s/^\.TH "[^"]*" \([0-9]\).*/\1/p' <<<"$text")
    printf '%s\n' "$text" >"$out/man/$name.$section"
}

write_one() { # PROGRAM COMMAND ...
    local program=$1 words
    page "$bin/$program"
    "$bin/$program" --help=markdown >"$out/reference/$program.md"
    for words in "${@:2}"; do
        page "$bin/$program" "$words"
        printf '\n%s\n' "$("$bin/$program" "$words" --help=markdown)" >>"$out/reference/$program.md"
    done
    while read -r -a words; do
        page "$bin/$program" "${words[@]:1}"
    done < <("$bin/$program" --help=commands 2>/dev/null || true)
}

write() {
    local entry parts
    mkdir -p "$out/man" "$out/reference"
    for entry in "$@"; do
        IFS=: read -r -a parts <<<"$entry"
        write_one "${parts[@]}"
    done
}

check=no
[ "$1" != --check ] || { check=yes && shift; }
bin=$1 out=$2
shift 2
if [ "$check" = no ]; then
    write "$@"
    exit
fi
docs=$out out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
write "$@"
bad=0
for folder in man reference; do
    for file in "$out/$folder"/*; do
        diff -u "$docs/$folder/${file##*/}" "$file" || bad=1
    done
done
[ "$bad" = 0 ] || echo "these are older than the tables: cmake --build --preset dev --target docs"
exit "$bad"
