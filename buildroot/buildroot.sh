#!/usr/bin/env bash
# buildroot.sh BOARD BUILDROOT OUT: the image of a board by Buildroot (2026.02 LTS) from the folder BUILDROOT, into OUT/build. The
# board's layers become one configuration, which must come out as it was asked for; our source goes in as a tarball with all its
# modules, so that the build asks no Go proxy. LAYER=file has lines of one's own, which count more than the board's: an SSH server
# (BR2_PACKAGE_DROPBEAR=y), a mirror. What was made in OUT with something else is made again. With CHECK=1 only what needs no download
# is done: configuration and package checks.
# Run so far with 2026.02.3, for qemu-virt, rpi-zero-2w and rpi, away from the servers that it loads from: Debian's gcc 12 with musl
# 1.2.6, Debian's tools and its Linux (6.18.9) stood in for those that it names, for qemu-virt also Debian's U-Boot (2025.01), e2fsprogs
# (1.47.2), util-linux (2.41.5) and dropbear (2026.94), for the Raspberry Pis Debian's firmware (1.20220830). Its own compiler was not
# built, and most of qemu-virt's Linux was compiled outside, with the same command.
set -euo pipefail
# What `make image` was given would reach the makefiles of every package: U-Boot has a BOARD of its own, and linkers take LDFLAGS.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL BOARD LDFLAGS
board=$1 buildroot=$2 out=$3
tree=$(dirname "$(readlink -f "$0")")
[ -r "$buildroot/package/pkg-golang.mk" ] || { echo "BUILDROOT=$buildroot is not a folder of Buildroot 2026.02" >&2; exit 2; }
buildroot=$(readlink -f "$buildroot")
version=$(sed -n 's/^export BR2_VERSION := //p' "$buildroot/Makefile")
case $version in
2026.02*) ;;
*) echo "warning: this tree is for Buildroot 2026.02 LTS, $buildroot is $version" >&2 ;;
esac
# shellcheck source=/dev/null
. "$tree/boards/$board.env"
[ -n "${LAYERS:-}" ] || { echo "$board has no layers for Buildroot" >&2; exit 2; }
export PARKLAMP_VERSION=${PARKLAMP_VERSION:-unversioned} PARKLAMP_BOARD=$board LC_ALL=C
mkdir -p "$out/buildroot"
out=$(readlink -f "$out")
# shellcheck disable=SC2206 # a list of words
layers=(${LAYERS})
layers=("${layers[@]/#/$tree/layers/}" ${LAYER:+"$LAYER"})
cat "${layers[@]}" >"$out/defconfig"
br() { make --no-print-directory -C "$buildroot" O="$out/buildroot" BR2_EXTERNAL="$tree" BR2_DEFCONFIG="$out/defconfig" PARKLAMP_BOARD="$board" PHONED_TARBALL="${tarball:-}" "$@"; }
br defconfig >"$out/buildroot.log" 2>&1 || { tail -20 "$out/buildroot.log" >&2; exit 1; }
"$tree/scripts/stuck.sh" "$out/buildroot/.config" "$out/defconfig"

if [ -n "${CHECK:-}" ]; then
	# What the layers say is all that there is to say: saved again, it has the same lines.
	br savedefconfig BR2_DEFCONFIG="$out/saved" >>"$out/buildroot.log" 2>&1
	diff <(sort "$out/defconfig") <(sort "$out/saved") >"$out/difference" || { echo "layers of $board, saved again (<: says what is so anyway; >: not said)" >&2; cat "$out/difference" >&2; exit 1; }
	"$buildroot/support/scripts/check-dotconfig.py" "$out/buildroot/.config" "$out/defconfig"
	(cd "$tree" && "$buildroot/utils/check-package" -b Config.in external.mk external.desc package/*/* patches/*/*)
	br show-build-order >"$out/build-order" 2>>"$out/buildroot.log"
	grep -qw phoned "$out/build-order"
	echo "checked $board with Buildroot $version: configuration, packages and order of the build"
	exit 0
fi

# The source, with its modules and their licences, the same bytes for the same content; its name carries their hash.
# archive FOLDER NAME...: a tar.gz that says nothing of when and by whom it was made.
archive() { tar -C "$1" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -c "${@:2}" | gzip -9n; }
stage=$(mktemp -d "$out/stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
mkdir "$stage/phoned"
(cd "$tree/.." && git ls-files -z | tar -c --null -T - | tar -xC "$stage/phoned")
(cd "$stage/phoned" && GOFLAGS=-mod=mod "${GO:-go}" mod vendor &&
	{ find vendor \( -name 'LICENSE*' -o -name COPYING \) | sort; echo "$("${GO:-go}" env GOROOT)/LICENSE"; } |
	while read -r file; do echo "== ${file##/*/}"; cat "$file"; done >licenses.txt)
rm -f "$out"/phoned-*.tar.gz
archive "$stage" phoned >"$stage/phoned.tar.gz"
tarball=$out/phoned-$(sha256sum "$stage/phoned.tar.gz" | cut -c1-16).tar.gz
mv "$stage/phoned.tar.gz" "$tarball"

# made says what a folder is made with that Buildroot does not look at again once a package is built or in the root (its manual,
# "Understanding when a full rebuild is necessary"). Where sources are loaded from, and what is done at each build, is not among it.
made() {
	local vars kernel
	vars=$(br -s printvars VARS='BR2_GLOBAL_PATCH_DIR BR2_LINUX_KERNEL_CUSTOM_CONFIG_FILE BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES BR2_ROOTFS_OVERLAY')
	files() { sed -n "s/^BR2_$1=\"\(..*\)\"$/\1/p" <<<"$vars" | tr -s ' ' '\n'; }
	kernel=$(files LINUX_KERNEL_CUSTOM_CONFIG_FILE && files LINUX_KERNEL_CONFIG_FRAGMENT_FILES)
	cd "$buildroot" # where Buildroot looks for them
	echo "folder: $out/buildroot"
	grep -E '^(BR2_|# Buildroot )' "$out/buildroot/.config" |
		grep -vE '^BR2_(DEFCONFIG|DL_DIR|JLEVEL|EXTERNAL_|[A-Z]+_(SITE|MIRROR)|LINUX_KERNEL_(CUSTOM_CONFIG_FILE|CONFIG_FRAGMENT_FILES)|ROOTFS_(OVERLAY|POST_|USERS_TABLES))'
	hash() { echo "$1: ${2##*/} $(sha256sum <"$2" | cut -c1-16)"; }
	files GLOBAL_PATCH_DIR | while read -r dir; do find "$dir" -name '*.patch' | sort; done | while read -r file; do hash patch "$file"; done
	for file in $kernel "$tree/external.mk"; do hash kernel "$file"; done
	files ROOTFS_OVERLAY | while read -r dir; do (cd "$dir" && find . -mindepth 1 | sed 's/^/root: /' | sort); done
	# shellcheck disable=SC2016 # make's
	sed -n 's/.*\$(TARGET_DIR)\(\/[^ ]*\).*/root: .\1/p' "$tree"/package/*/*.mk
}

# prepare takes out of the folder what was made with something else. What is added to the root comes by itself.
prepare() {
	local record=$out/buildroot/made changed
	(made) >"$out/made"
	if [ ! -e "$out/buildroot/target" ]; then
		whole=1
	elif [ ! -e "$record" ]; then
		changed="nobody has written down with what"
	else
		changed=$(diff "$record" "$out/made" | grep '^[<>]' | grep -v '^> root: ' || true)
	fi
	if [ -n "${changed:-}" ]; then
		printf '%s was made with something else before (<), not with what is asked for now (>):\n' "$out/buildroot"
		sed -n '1,20p' <<<"$changed"
		if grep -qv '^[<>] kernel: ' <<<"$changed"; then
			echo "so all of it is built anew, which takes as long as the first time${minutes:+, $minutes minutes}"
			br clean
			whole=1
		else
			echo "so Linux is configured and compiled anew, some ten minutes of one processor; the rest stays"
			br linux-reconfigure
		fi
	fi
	mv "$out/made" "$record"
}
whole="" minutes=$(cat "$out/buildroot/minutes" 2>/dev/null || true)
prepare

# Buildroot would not notice that the source of a version has changed. The licences come first: the card bears them.
br phoned-dirclean
br legal-info
mkdir -p "$out/buildroot/images"
archive "$out/buildroot" legal-info/manifest.csv legal-info/licenses >"$out/buildroot/images/licenses.tar.gz"
br
[ -z "$whole" ] || echo "$((SECONDS / 60 + 1))" >"$out/buildroot/minutes"
rm -rf "$out/build" && mkdir -p "$out/build"
ln -s ../buildroot/target "$out/build/target"
ln -s ../buildroot/images "$out/build/images"
sed -n '2,$s/^"\([^"]*\)","\([^"]*\)".*/\1 \2/p' "$out/buildroot/legal-info/manifest.csv" >"$out/build/packages.list"
