#!/usr/bin/env bash
# image.sh BOARD OUT: the image of a board into OUT (out/image/BOARD): card.img, slot.img, boot/ and image.json. `make image` calls
# it. BUILDROOT=folder has Buildroot make it; else our programs are built here and the rest is Debian's. INIT=file takes another
# program in place of cmd/init.
set -euo pipefail
board=${1:-} out=${2:-}
tree=$(dirname "$(readlink -f "$0")")
if [ -z "$board" ] || [ -z "$out" ] || [ ! -r "$tree/boards/$board.env" ]; then
	echo "no image of BOARD=$board: there are $(cd "$tree/boards" && echo *.env | sed 's/\.env//g')" >&2
	cd "$tree/boards"
	of=$({ grep -lE "^BOARDS=.*[\" ]${board:-none}[\" ]" -- *.env || true; } | sed 's/\.env$//' | paste -sd ' ')
	[ -z "$of" ] || echo "$board is among the boards of: $of" >&2
	exit 2
fi
# shellcheck source=/dev/null
. "$tree/boards/$board.env"
[ -z "${PARKLAMP_UPDATE_PUB:-}" ] || grep -qs -e '^-----BEGIN PUBLIC KEY-----' "$PARKLAMP_UPDATE_PUB" ||
	{ echo "UPDATE_PUB: $PARKLAMP_UPDATE_PUB is no public key; it is update.pub of the site's folder (parkctl site new)" >&2; exit 2; }
# The time that the image bears: all scripts take it from here.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git -C "$tree" log -1 --format=%ct 2>/dev/null || echo 1767225600)}
export SOURCE_DATE_EPOCH PARKLAMP_VERSION=${PARKLAMP_VERSION:-unversioned}
mkdir -p "$out"
out=$(readlink -f "$out")
cd "$tree/.."

if [ -n "${BUILDROOT:-}" ]; then
	engine=buildroot
	"$tree/buildroot.sh" "$board" "$BUILDROOT" "$out"
elif [ "$KERNEL_FROM" = buildroot ]; then
	echo "$board has no image of Debian's packages: name the folder of Buildroot 2026.02 with BUILDROOT=..., or take BOARD=rpi" >&2
	exit 2
else
	engine=debian
	rm -rf "$out/programs" && mkdir "$out/programs" # go build does not write over a stand-in
	packages="./cmd/phoned ./cmd/parkctl"
	if [ -n "${INIT:-}" ]; then install -m 755 "$INIT" "$out/programs/init"; else packages="$packages ./cmd/init"; fi
	echo "image of $board: building the programs"
	# shellcheck disable=SC2086 # a list of packages
	CGO_ENABLED=0 GOOS=linux GOARCH=$GOARCH GOARM=${GOARM:-} \
		"${GO:-go}" build -trimpath -buildvcs=false -ldflags "${LDFLAGS:--s -w}" -o "$out/programs/" $packages
	echo "image of $board: putting the card together from Debian's packages (a minute or two)"
	"$tree/debian/build.sh" "$board" "$out/programs" "$out/build"
fi
for part in card.img slot.img boot slot licenses.tar.gz; do
	rm -rf "${out:?}/$part"
	cp -R --sparse=always "$out/build/images/$part" "$out/"
done
# What board/models hangs on I2C is there only if the device tree that the loader takes has that bus on. With -d fdtget has an
# answer also for what is not in the tree, which -l finds out.
for dtb in $DTBS; do
	[ -n "${I2C:-}" ] || break
	if ! fdtget -l "$out/slot/$DTB_FOLDER$dtb" "$I2C" >/dev/null || [ "$(fdtget -t s -d okay "$out/slot/$DTB_FOLDER$dtb" "$I2C" status)" != okay ]; then
		echo "$dtb: the expanders' bus $I2C is off or not there" >&2
		exit 1
	fi
done
# QEMU is given the loader; a board finds it on its card.
[ "$board" != qemu-virt ] || cp "$out/build/images/u-boot.bin" "$out/"
zstd -q -f -12 --long=27 "$out/card.img" -o "$out/card.img.zst"
"${GO:-go}" run ./cmd/internal/image describe "$out" "$board" "$engine"
echo "made $out/card.img: version $PARKLAMP_VERSION for $BOARDS"
echo "onto a card: make flash BOARD=${BOARDS// /|} DEV=/dev/sdX [SITE=folder ID=appliance]$([ "$board" != qemu-virt ] || echo ', or DEV=file.img')"
