#!/usr/bin/env bash
# image.sh BOARD OUT: build our programs for the board, then its image with Debian's packages, into OUT (out/image/BOARD): card.img,
# slot.img, boot/ and image.json. `make image` calls it. INIT=file takes another program in place of cmd/init.
set -euo pipefail
board=$1 out=$2
tree=$(dirname "$(readlink -f "$0")")
[ -r "$tree/boards/$board.env" ] || { echo "no board $board: $(cd "$tree/boards" && echo *.env | sed 's/\.env//g')" >&2; exit 2; }
# shellcheck source=/dev/null
. "$tree/boards/$board.env"
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$tree" log -1 --format=%ct 2>/dev/null || echo 1767225600)}
export SOURCE_DATE_EPOCH PARKLAMP_VERSION=${PARKLAMP_VERSION:-unversioned}
programs=$out/programs
rm -rf "$programs" && mkdir -p "$programs" # go build does not write over a stand-in
out=$(readlink -f "$out") programs=$(readlink -f "$programs")
cd "$tree/.."
packages="./cmd/phoned ./cmd/parkctl"
if [ -n "${INIT:-}" ]; then install -m 755 "$INIT" "$programs/init"; else packages="$packages ./cmd/init"; fi
# shellcheck disable=SC2086 # a list of packages
CGO_ENABLED=0 GOOS=linux GOARCH=$GOARCH GOARM=${GOARM:-} "${GO:-go}" build -trimpath -buildvcs=false -ldflags "${LDFLAGS:--s -w}" -o "$programs/" $packages

"$tree/debian/build.sh" "$board" "$programs" "$out/build"
for part in card.img slot.img boot slot licenses.tar.gz; do
	rm -rf "${out:?}/$part"
	mv "$out/build/images/$part" "$out/"
done
# QEMU is given the loader; a board finds it on its card.
[ "$board" != qemu-virt ] || mv "$out/build/images/u-boot.bin" "$out/"
zstd -q -f -12 --long=27 "$out/card.img" -o "$out/card.img.zst"
"${GO:-go}" run ./cmd/internal/image describe "$out" "$board" debian
echo "made $out/card.img: version $PARKLAMP_VERSION for $BOARDS"
