# boot.cmd: what U-Boot does on every board: choose the slot, count the attempts of a trial, fall back.
#
# A slot is a FAT file system: a kernel, its device trees, the initrd that is the whole root, and slot.env, which names them with
# their checksums. The state lies in two sectors outside the partitions, 400 and 600 (hexadecimal), in the format of U-Boot's
# environment: seq, good, try, left. cmd/internal/slots is the writer on the other side and cmd/internal/slots/slotstest has a
# model of this script. No setexpr here: the BeagleBone's loader has none. Of two copies with one seq the one with less left is
# the later, so that counting down needs no sum.
setenv copy
setenv c_seq 0
setenv c_left 0
${devtype} dev ${devnum}
for place in 400 600; do
	setenv seq; setenv good; setenv try; setenv left
	if ${devtype} read ${ramdisk_addr_r} ${place} 1 && env import -d -c ${ramdisk_addr_r} 200 seq good try left; then
		setenv later
		if test -z "${copy}"; then setenv later y; fi
		if test "${seq}" -gt "${c_seq}"; then setenv later y; fi
		if test "${seq}" -eq "${c_seq}" && test "${left}" -lt "${c_left}"; then setenv later y; fi
		if test -n "${later}"; then
			setenv copy ${place}; setenv c_seq ${seq}; setenv c_good ${good}; setenv c_try ${try}; setenv c_left ${left}
		fi
	fi
done

# A slot on trial is started only after one attempt less is on the card, over the copy that does not count.
setenv trial
setenv less
if test -n "${copy}" && test -n "${c_try}"; then
	if test "${c_left}" = 1; then setenv less 0; fi
	if test "${c_left}" = 2; then setenv less 1; fi
	if test "${c_left}" = 3; then setenv less 2; fi
fi
if test -n "${less}"; then
	setenv seq ${c_seq}; setenv good ${c_good}; setenv try ${c_try}; setenv left ${less}
	setenv place 600
	if test "${copy}" = 600; then setenv place 400; fi
	if env export -c -s 200 ${ramdisk_addr_r} seq good try left && ${devtype} write ${ramdisk_addr_r} ${place} 1; then
		setenv trial ${c_try}
	else
		echo "parklamp: the state cannot be written: no trial"
	fi
fi

# start_slot: load and start ${slot}; it returns only if that cannot be done. With ${care}, checksums must be there and right. A loader
# built with its table of hashes leaves the bytes of a CRC-32 most significant first, which reads as ${sum} (QEMU's, the BeagleBone's);
# one without it leaves the number, ${number} (the Raspberry Pis').
setenv same_sum 'crc32 ${at} ${filesize} ${scriptaddr}; itest.l *${scriptaddr} == 0x${sum} || itest.l *${scriptaddr} == 0x${number}'
setenv check_sum 'test -n "${sum}" && test -n "${number}" && run same_sum'
setenv start_slot '
	if test "${slot}" = b; then setenv from ${devtype} ${devnum}:3; else setenv from ${devtype} ${devnum}:2; fi;
	echo "parklamp: slot ${slot}, trial ${on_trial}";
	setenv kernel; setenv kernel_crc; setenv initrd_crc; setenv kernel_number; setenv initrd_number; setenv fdt;
	if load ${from} ${ramdisk_addr_r} slot.env && env import -t ${ramdisk_addr_r} ${filesize}; then
		setenv bootargs "${cmdline} parklamp.slot=${slot} parklamp.trial=${on_trial} parklamp.board=${board}";
		if test -n "${fdtfile}" && load ${from} ${fdt_addr_r} ${fdtfile}; then setenv fdt ${fdt_addr_r};
		elif test -n "${fdt_addr}"; then setenv fdt ${fdt_addr};
		else setenv fdt ${fdtcontroladdr}; fi;
		setenv sound y;
		if load ${from} ${kernel_addr_r} ${kernel}; then
			setenv at ${kernel_addr_r}; setenv sum ${kernel_crc}; setenv number ${kernel_number};
			if test -n "${care}"; then run check_sum || setenv sound; fi;
		else setenv sound; fi;
		if test -n "${sound}" && load ${from} ${ramdisk_addr_r} initrd; then
			setenv at ${ramdisk_addr_r}; setenv sum ${initrd_crc}; setenv number ${initrd_number};
			if test -n "${care}"; then run check_sum || setenv sound; fi;
		else setenv sound; fi;
		if test -n "${sound}"; then ${boot} ${kernel_addr_r} ${ramdisk_addr_r}:${filesize} ${fdt}; fi;
	fi;
	echo "parklamp: slot ${slot} cannot be started"'

if test -n "${trial}"; then
	setenv slot ${trial}; setenv on_trial 1; setenv care y
	run start_slot
fi
# The good slot, then the other one; then, since nothing is left to lose, what looks damaged.
setenv on_trial 0
setenv one a
setenv two b
if test "${c_good}" = b; then setenv one b; setenv two a; fi
setenv care y
setenv slot ${one}; run start_slot
setenv slot ${two}; run start_slot
setenv care
setenv slot ${one}; run start_slot
setenv slot ${two}; run start_slot
echo "parklamp: no slot can be started: write the card anew (make flash)"
sleep 10
reset
