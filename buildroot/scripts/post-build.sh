#!/usr/bin/env bash
# post-build.sh TARGET BOARD: the last touch to the root file system, the same for both engines: what this image is.
# PARKLAMP_VERSION names the version; PARKLAMP_UPDATE_PUB is the site's public key, without which the image takes no updates;
# SOURCE_DATE_EPOCH is its time.
set -euo pipefail
target=$1 board=$2
tree=$(dirname "$(dirname "$(readlink -f "$0")")")
[ -r "$tree/boards/$board.env" ] || { echo "no board $board: $(cd "$tree/boards" && echo *.env)" >&2; exit 2; }
for program in init usr/bin/phoned usr/bin/parkctl bin/busybox; do
	[ -x "$target/$program" ] || { echo "the root has no program /$program" >&2; exit 1; }
done
mkdir -p "$target"/{boot,data,dev,proc,sys,run,tmp,etc/parklamp}
echo "$board" >"$target/etc/parklamp/board"
echo "${PARKLAMP_VERSION:-unversioned}" >"$target/etc/parklamp/version"
date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ >"$target/etc/parklamp/time"
rm -f "$target/etc/parklamp/update.pub"
if [ -n "${PARKLAMP_UPDATE_PUB:-}" ]; then cp "$PARKLAMP_UPDATE_PUB" "$target/etc/parklamp/update.pub"; fi
# The loader's work is done by then: nothing in the root reads boot files, manuals or the kernel's own symbols.
rm -rf "$target"/usr/share/{doc,man,locale} "$target/THIS_IS_NOT_YOUR_ROOT_FILESYSTEM"
