#!/usr/bin/env bash
# Writes man pages and the settings reference from what the built programs say of themselves.
# usage: reference.sh BIN_DIR OUT_DIR PROGRAM ...     (OUT_DIR/man/*.1, *.8; OUT_DIR/reference/*.md)
#        reference.sh --check BIN_DIR DOCS_DIR PROGRAM ...     fails where DOCS_DIR says otherwise
set -euo pipefail

page() { # PROGRAM [WORD ...]: under the section that the page itself names
    local name=${1##*/} text section
    [ $# = 1 ] || name+=$(printf -- '-%s' "${@:2}")
    text=$("$@" --help=man)
    section=$(sed -n '1s/^\.TH "[^"]*" \([0-9]\).*/\1/p' <<<"$text")
    printf '%s\n' "$text" >"$out/man/$name.$section"
}

write() {
    mkdir -p "$out/man" "$out/reference"
    local program words
    for program in "$@"; do
        page "$bin/$program"
        "$bin/$program" --help=markdown >"$out/reference/$program.md"
        case $program in
        remoteler-auth) page "$bin/$program" bootstrap && {
            echo
            "$bin/$program" bootstrap --help=markdown
        } >>"$out/reference/$program.md" ;;
        remoteler-*) ;;
        *)
            while read -r -a words; do
                page "$bin/$program" "${words[@]:1}"
            done < <("$bin/$program" --help=commands)
            ;;
        esac
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
[ "$bad" = 0 ] || echo "the documentation is older than the tables: cmake --build --preset dev --target docs"
exit "$bad"
