#!/usr/bin/env bash
# What the programs' own completion offers in this bash; zsh and fish, where they are, at least read it.
# usage: completion-test.sh BIN_DIR
set -uo pipefail # no -e: outside of a completion compopt fails
PATH=$1:$PATH
bad=0

offers() { # EXPECTED WORD ...: the words that a TAB after the last WORD would offer hold EXPECTED
    local expected=$1
    shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
    "_$1"
    case " ${COMPREPLY[*]} " in *" $expected "*) ;; *)
        echo "$*: offers \"${COMPREPLY[*]}\", not $expected"
        bad=1
        ;;
    esac
}

for program in tsh tctl remoteler; do
    # shellcheck disable=SC1090
    . <("$program" completion bash) || bad=1
    complete -p "$program" >/dev/null || bad=1
    if command -v zsh >/dev/null; then zsh -n <("$program" completion zsh) || bad=1; fi
    if command -v fish >/dev/null; then "$program" completion fish | fish --no-execute || bad=1; fi
done
offers login tsh lo
offers ssh tsh proxy ''
offers --password-file= tsh login --pass
offers --no-ssh-config tsh login --no
offers /etc/passwd tsh login --password-file = /etc/passw
offers audit tctl a
offers search tctl audit ''
offers --unlock tctl users update alice --un
offers --labels= remoteler start --lab
exit "$bad"
