#!/usr/bin/env bash
# build.sh BOARD PROGRAMS OUT: the image of a board from Debian's packages for its architecture and our programs (a folder with
# init, phoned and parkctl for that board). Makes OUT/target (the root file system) and OUT/images (all that the card is made
# of) as Buildroot does, and calls the same scripts. KERNEL=own takes the test kernel of buildroot/test, KERNEL=debian Debian's.
# SOURCE_DATE_EPOCH is given.
set -euo pipefail
board=$1 programs=$2 out=$3
here=$(dirname "$(readlink -f "$0")")
tree=$(dirname "$here")
[ -r "$tree/boards/$board.env" ] || { echo "no board $board: $(cd "$tree/boards" && echo *.env | sed 's/\.env//g')" >&2; exit 2; }
# shellcheck source=/dev/null
. "$tree/boards/$board.env"
kernel_from=${KERNEL:-${KERNEL_FROM:-debian}}
export LC_ALL=C TZ=UTC
rm -rf "$out" && mkdir -p "$out"/{target,images,packages}
out=$(readlink -f "$out") programs=$(readlink -f "$programs")
target=$out/target images=$out/images packages=$out/packages

wanted="busybox-static e2fsck-static $DEBIAN_LOADER"
[ "$kernel_from" != debian ] || wanted="$wanted $DEBIAN_KERNEL"
# shellcheck disable=SC2086 # a list of packages
"$here/packages.sh" "$DEBIAN_ARCH" "$packages" $wanted >"$out/packages.list"

# --- root
cp -RT "$tree/overlay" "$target"
install -D -m 755 "$programs/init" "$target/init"
install -D -m 755 -t "$target/usr/bin" "$programs/phoned" "$programs/parkctl"
install -D -m 755 -t "$target/bin" "$packages/bin/busybox"
install -D -m 755 "$packages/sbin/e2fsck.static" "$target/sbin/e2fsck"
grep -v '^#' "$tree/applets.list" | while read -r applet; do ln -s busybox "$target/bin/$applet"; done
# The kernel calls this path itself for what it needs later, such as a driver of an adapter that is plugged in.
ln -s ../bin/busybox "$target/sbin/modprobe"
mkdir -p "$target/etc/parklamp"
{ echo "root:x:0:0:root:/:/bin/false"; sed -n 's/^\([a-z]*\) \([0-9]*\) \([a-z]*\) \([0-9]*\) [^ ]* \([^ ]*\) [^ ]* [^ ]* \(.*\)$/\1:x:\2:\4:\6:\5:\/bin\/false/p' "$tree/users.table"; } >"$target/etc/passwd"
{ echo "root:x:0:"; echo "audio:x:29:parklamp"; sed -n 's/^\([a-z]*\) \([0-9]*\) \([a-z]*\) \([0-9]*\) .*/\3:x:\4:/p' "$tree/users.table"; } >"$target/etc/group"

# --- kernel, and of its modules those that the board names, with what they depend on
case $kernel_from in
own)
	[ "$board" = qemu-virt ] || { echo "KERNEL=own is for qemu-virt; $board takes Debian's kernel or Buildroot's" >&2; exit 2; }
	cp "$("$tree/test/kernel.sh")" "$images/$KERNEL_FILE"
	install -D -m 644 -t "$packages/usr/share/doc/linux-source-6.1" /usr/share/doc/linux-source-6.1/copyright
	echo "linux-source-6.1 $(dpkg-query -W -f '${Version}' linux-source-6.1)" >>"$out/packages.list" ;;
debian)
	kernel=$(cd "$packages/boot" && echo vmlinuz-*)
	release=${kernel#vmlinuz-}
	case $KERNEL_FILE in
	*.gz) gzip -9nc "$packages/boot/$kernel" >"$images/$KERNEL_FILE" ;;
	*) cp "$packages/boot/$kernel" "$images/$KERNEL_FILE" ;;
	esac
	for dtb in $DTBS; do cp "$packages/usr/lib/linux-image-$release/$DTB_FOLDER$dtb" "$images/"; done
	depmod -b "$packages" "$release"
	for module in $MODULES; do modprobe -d "$packages" -S "$release" --show-depends "$module"; done \
		| sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r file; do
			install -D -m 644 "$file" "$target/${file#"$packages/"}"; done
	cp "$packages/lib/modules/$release"/modules.{order,builtin,builtin.modinfo} "$target/lib/modules/$release/"
	depmod -b "$target" "$release"
	# busybox reads modules.dep and modules.alias only.
	rm -f "$target/lib/modules/$release"/modules.{*.bin,order,builtin*,symbols,softdep,devname}
	echo "$MODULES" | tr -s ' ' '\n' >"$target/etc/parklamp/modules.list" ;;
*) echo "KERNEL=$kernel_from: own or debian is allowed" >&2; exit 2 ;;
esac
for file in $LOADER_FILES; do install -D -m 644 "$packages/${file%%:*}" "$images/${file##*:}"; done

"$tree/scripts/post-build.sh" "$target" "$board"
chmod -R u=rwX,go=rX "$target"
find "$target" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
(cd "$target" && find . -print0 | sort -z | cpio -0 -o -H newc --quiet --reproducible -R 0:0) >"$images/rootfs.cpio"
(cd "$tree/.." && "${GO:-go}" run ./cmd/internal/image licences "$out" "$images/licenses.tar.gz")
"$tree/scripts/post-image.sh" "$images" "$board"
rm -rf "$packages"
