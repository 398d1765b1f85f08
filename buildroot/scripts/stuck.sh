#!/usr/bin/env bash
# stuck.sh CONFIG FRAGMENT...: every line that a fragment asks for is in the configuration that came of it; else say which is lost.
# Where several say something of one name the last word counts; a comment that only speaks of a name is none.
# Used for the kernel and for Buildroot itself.
set -euo pipefail
config=$1
shift
asked=$({ grep -hE '^((CONFIG|BR2)_[A-Za-z0-9_]+=|# (CONFIG|BR2)_[A-Za-z0-9_]+ is not set$)' "$@" || [ $? = 1 ]; } | tac | awk '{ name = $0; sub(/^# /, "", name); sub(/[= ].*/, "", name) } !said[name]++')
lost=$(grep -E '^(CONFIG|BR2)_[A-Za-z0-9_]+=[^n]' <<<"$asked" | grep -vxFf "$config" || true)
wrong=$(sed -nE 's/^# ((CONFIG|BR2)_[A-Za-z0-9_]+) is not set$/\1=/p; s/^(CONFIG_[A-Za-z0-9_]+)=n$/\1=/p' <<<"$asked" | while read -r name; do grep "^$name" "$config" || true; done)
[ -z "$lost$wrong" ] || { printf '%s\n' "$config lost or kept against the wish:" ${lost:+"$lost"} ${wrong:+"$wrong"} >&2; exit 1; }
