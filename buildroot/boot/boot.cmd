# boot.cmd: what U-Boot does on every board. Slot a is tried first, then slot b; a slot is a FAT file system with a kernel, its
# device trees, the initrd that is the whole root, and slot.env, which names them.
for slot in a b; do
	if test "${slot}" = a; then part=2; else part=3; fi
	from="${devtype} ${devnum}:${part}"
	if load ${from} ${ramdisk_addr_r} slot.env; then
		env import -t ${ramdisk_addr_r} ${filesize}
		setenv bootargs "${cmdline} parklamp.slot=${slot} parklamp.trial=0 parklamp.board=${board}"
		# The loader's own device tree where the slot has none for this board.
		if test -n "${fdtfile}" && load ${from} ${fdt_addr_r} ${fdtfile}; then fdt=${fdt_addr_r}
		elif test -n "${fdt_addr}"; then fdt=${fdt_addr}
		else fdt=${fdtcontroladdr}; fi
		if load ${from} ${kernel_addr_r} ${kernel} && load ${from} ${ramdisk_addr_r} initrd; then
			${boot} ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt}
		fi
	fi
done
echo "no slot can be booted"
reset
