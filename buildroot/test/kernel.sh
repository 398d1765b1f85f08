#!/usr/bin/env bash
# kernel.sh: build the ARM kernel of the boot tests, or reuse it, and print the path of its zImage.
#
# The result is kept in $PARKLAMP_CACHE (default ~/.cache/parklamp) under a hash of the configuration, of the source and
# of this script; 12 CPU minutes the first time, nothing afterwards. Needs Debian's linux-source-6.1,
# gcc-arm-linux-gnueabihf, flex, bison, bc and lz4 (`make image-test` installs them).
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
source=${KERNEL_SOURCE:-/usr/src/linux-source-6.1.tar.xz}
cache=${PARKLAMP_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/parklamp}
jobs=${JOBS:-$(nproc)}

[ -r "$source" ] || { echo "kernel source $source is missing: apt-get install linux-source-6.1" >&2; exit 1; }
version=$(dpkg-query -W -f '${Version}' linux-source-6.1 2>/dev/null || stat -c %s "$source")
hash=$( (cat "$here/kernel.config" "$here/kernel.sh"; echo "$version") | sha256sum | cut -c1-16)
dir=$cache/kernel-arm-$hash
if [ -s "$dir/zImage" ]; then echo "$dir/zImage"; exit 0; fi

mkdir -p "$cache"
exec 9>"$cache/kernel.lock"
flock 9 # two at once: the second finds the result of the first
if [ -s "$dir/zImage" ]; then echo "$dir/zImage"; exit 0; fi
echo "building the test kernel (Linux $version) into $dir, about 12 CPU minutes" >&2
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir "$work/src" "$work/obj"
tar -C "$work/src" --strip-components=1 -xJf "$source"
export KBUILD_BUILD_TIMESTAMP=2026-01-01 KBUILD_BUILD_USER=parklamp KBUILD_BUILD_HOST=build
build() {
	make -C "$work/src" O="$work/obj" ARCH=arm CROSS_COMPILE=arm-linux-gnueabihf- "$@" >>"$work/log" 2>&1 \
		|| { tail -20 "$work/log" >&2; exit 1; }
}
build KCONFIG_ALLCONFIG="$here/kernel.config" allnoconfig
# A configuration that drops what was asked for builds a kernel that fails in a way nobody expects.
"$here/../scripts/stuck.sh" "$work/obj/.config" "$here/kernel.config"
build -j"$jobs" zImage
mkdir -p "$dir.new"
cp "$work/obj/.config" "$dir.new/config"
cp "$work/obj/arch/arm/boot/zImage" "$dir.new/zImage"
rm -rf "$dir" && mv "$dir.new" "$dir"
echo "$dir/zImage"
