#!/usr/bin/env bash
# boot.sh FOLDER [QEMU ARGUMENTS]: boot the card of an image of qemu-virt (out/image/qemu-virt) from its loader on, without
# changing it, and end well when phoned runs: init has started it, an address has come by DHCP, and phoned has not ended for
# SETTLE seconds (10). Fails after LIMIT seconds (240). The console is printed and kept as FOLDER/console.log.
set -euo pipefail
folder=$1
shift
log=$folder/console.log
qemu-system-arm -M virt,highmem=off -cpu cortex-a7 -m 256 -nographic -nodefaults -serial stdio -monitor none \
	-bios "$folder/u-boot.bin" -drive "if=none,id=card,format=raw,file=$folder/card.img,snapshot=on" -device virtio-blk-device,drive=card \
	-netdev user,id=n -device virtio-net-device,netdev=n -device i6300esb -action watchdog=reset "$@" </dev/null >"$log" 2>&1 &
qemu=$!
trap 'kill $qemu 2>/dev/null || true; cat "$log"' EXIT
for _ in $(seq "${LIMIT:-240}"); do
	sleep 1
	kill -0 $qemu 2>/dev/null || { echo "image-test: QEMU ended" >&2; exit 1; }
	if grep -aq 'msg=ended service=phoned' "$log"; then echo "image-test: phoned ended" >&2; exit 1; fi
	if grep -aq 'msg=started service=phoned' "$log" && grep -aq 'msg="DHCP lease"' "$log"; then
		sleep "${SETTLE:-10}"
		if grep -aq 'msg=ended service=phoned' "$log"; then echo "image-test: phoned ended" >&2; exit 1; fi
		exit 0
	fi
done
echo "image-test: phoned does not run after ${LIMIT:-240} s" >&2
exit 1
