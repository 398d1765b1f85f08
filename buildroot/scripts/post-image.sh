#!/usr/bin/env bash
# post-image.sh IMAGES BOARD: kernel, device trees, root (rootfs.cpio) and loader files in IMAGES become slot.img, boot.img,
# data.img and card.img there, the same for both engines, without root and the same bytes for the same input.
# PARKLAMP_VERSION and SOURCE_DATE_EPOCH (seconds) say what and when; a compressed root of the engine is not used.
set -euo pipefail
images=$(readlink -f "$1") board=$2
tree=$(dirname "$(dirname "$(readlink -f "$0")")")
# shellcheck source=/dev/null
. "$tree/boards/$board.env"
export TZ=UTC LC_ALL=C MTOOLS_SKIP_CHECK=1 E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
cd "$images"
rm -rf slot boot tmp && mkdir -p slot boot/parklamp tmp/empty

# fat IMAGE MIB LABEL SERIAL FOLDER: a FAT file system with the files of the folder, in the order of their names.
fat() {
	rm -f "$1"
	find "$5" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
	mkfs.vfat --invariant -i "$4" -n "$3" -C "$1" $(($2 * 1024)) >/dev/null
	(cd "$5" && find . -mindepth 1 -type d | sort) | while read -r name; do mmd -i "$1" "::${name#.}"; done
	(cd "$5" && find . -type f | sort) | while read -r name; do mcopy -m -i "$1" "$5/$name" "::${name#.}"; done
}

cp "$KERNEL_FILE" slot/
for dtb in $DTBS; do install -D -m 644 "$dtb" "slot/$DTB_FOLDER$dtb"; done
zstd -q -19 -T1 -c rootfs.cpio >slot/initrd
# sum FILE: its CRC-32 as some loaders leave it in memory, most significant byte first; number FILE: as others do. boot.cmd says
# which (gzip has it in its last 8 bytes, least significant byte first).
sum() { gzip -1 -c "$1" | tail -c 8 | head -c 4 | od -An -tx1 | tr -d ' \n'; }
number() { sum "$1" | sed 's/\(..\)\(..\)\(..\)\(..\)/\4\3\2\1/'; }
cat >slot/slot.env <<END
board=$board
version=${PARKLAMP_VERSION:-unversioned}
time=$(date -u -d "@$SOURCE_DATE_EPOCH" +%FT%TZ)
kernel=$KERNEL_FILE
boot=$BOOT
cmdline=$CMDLINE
$(echo "$BOOT_ENV" | tr -s ' ' '\n')
kernel_crc=$(sum "slot/$KERNEL_FILE")
initrd_crc=$(sum slot/initrd)
kernel_number=$(number "slot/$KERNEL_FILE")
initrd_number=$(number slot/initrd)
END
fat slot.img 38 SLOT 504c0001 "$images/slot"

{ cat "$tree/boot/config.txt"; echo "${CONFIG_TXT:-}"; } >config.txt
for file in $BOOT_FILES; do install -D -m 644 "${file%%:*}" "boot/${file##*:}"; done
mkimage -A arm -T script -C none -n "parklamp boot" -d "$tree/boot/boot.cmd" boot/boot.scr >/dev/null
cp "$tree/boot/provisioning.txt" boot/parklamp/README.txt
[ ! -s licenses.tar.gz ] || cp licenses.tar.gz boot/
fat boot.img 28 BOOT 504c0000 "$images/boot"

# Small files, few of them, and room to grow to 128 GiB (33,554,432 blocks).
rm -f data.img
mke2fs -q -t ext4 -b 4096 -I 256 -i 65536 -m 1 -J size=4 -L data -U 70617264-6c61-4d70-8000-64617461504c \
	-E "resize=33554432,hash_seed=70617264-6c61-4d70-8000-64617461504d,lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0" data.img 32M >tmp/mke2fs.log

# The state of a card that no update has seen: slot a is good.
printf 'good=a\nleft=0\nseq=1\n' | mkenvimage -s 512 -p 0 -o state.bin -
genimage --config "$tree/genimage.cfg" --rootpath tmp/empty --tmppath tmp/genimage --inputpath . --outputpath . >genimage.log 2>&1 || { cat genimage.log >&2; exit 1; }
rm -rf tmp genimage.log
