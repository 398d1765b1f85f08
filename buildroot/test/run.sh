#!/usr/bin/env bash
# run.sh PACKAGE...: run the packages' tests, built for arm with the tag "guest", on a booted ARM kernel.
#
# Builds or reuses the kernel (kernel.sh), packs an initramfs of cmd/internal/guest and a test binary for each package, boots
# it in qemu-system-arm -M virt, and prints what the tests print. Exits 0 only if the guest says that all passed, within
# LIMIT seconds (600) of wall clock; the tests' own limits are of the guest's clock. ICOUNT=N couples that clock to the
# instructions executed, 2^N ns each, so that a busy host does not look like a slow board (not with a network): 2 is slower than any
# board, 0 as fast as one; waiting takes no time. RUN narrows the tests.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
root=$(dirname "$(dirname "$here")")
limit=${LIMIT:-600}
out=$root/out/image-test
[ $# -gt 0 ] || { echo "usage: run.sh PACKAGE..." >&2; exit 2; }

kernel=$("$here/kernel.sh")
mkdir -p "$out"
work=$(mktemp -d "$out/boot.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root/tests" "$work/root/dev"
cd "$root"
export CGO_ENABLED=0 GOOS=linux GOARCH=arm GOARM=7
go build -trimpath -ldflags '-s -w' -o "$work/root/init" ./cmd/internal/guest
for package in "$@"; do
	name=$(echo "${package#./}" | tr / -)
	go test -c -tags guest -trimpath -ldflags '-s -w' -o "$work/root/tests/$name.test" "$package"
	printf '%s\n' -test.v -test.timeout=90s "-test.run=${RUN:-.}" >"$work/root/tests/$name.args"
done
# Reproducible, and owned by root whoever builds it; the kernel makes /dev/console itself (devtmpfs).
(cd "$work/root" && find . -print0 | LC_ALL=C sort -z | cpio -0 -o -H newc --quiet --reproducible -R 0:0) | gzip -1n >"$work/initramfs.gz"

log=$out/console.log
timeout --foreground "$limit" qemu-system-arm -M virt -cpu cortex-a7 -m 256 -nographic -nodefaults \
	-serial stdio -monitor none -no-reboot -kernel "$kernel" -initrd "$work/initramfs.gz" ${ICOUNT:+-icount shift=$ICOUNT,sleep=off} \
	-append "console=ttyAMA0 panic=-1 quiet" </dev/null | tr -d '\r' | tee "$log" || {
		echo "image-test: the guest did not end within $limit s" >&2; exit 1; }
grep -q '^GUEST result PASS' "$log"
