// Command init is the first process of an appliance's image (PID 1). It mounts what programs expect, finds the card, brings
// up the network, sets the clock, starts phoned and keeps it running, feeds the hardware watchdog, takes in the identity at
// first boot, confirms a system that is on trial, and ends everything in good order. What it finds wrong is a health
// condition that phoned shows: nothing that is missing or broken keeps the phone from starting.
//
// It is also the script of udhcpc, under the name udhcpc-hook, and as "init fetch" its own child that brings the identity of
// an appliance from a web server. It runs as root; everything that talks with the network beyond DHCP, LLDP and NTP runs as
// another user. What it believes lies where that user can put nothing (claim.go). Each part runs in goroutines of its own;
// system.run starts and ends them in its order (system.go).
//
// A phoned that dies runs again at once, and after 0.2, 0.4, 0.8 … 10 s when it died within 20 s of its start (package
// supervise). The watchdog is fed unless only a reset mends what is wrong: phoned cannot even be killed, a step of the start
// hangs (a driver has 40 s, the card 11 minutes, all else 2), or the card stops answering while the appliance ends
// (watchdog.go). A card that completes no read or write for 30 s at the start is given up; a repair of its file system that
// goes on is waited for, 10 minutes at most (card.go).
//
// Of /data/parklamp phoned writes journal and reports alone. What is believed there (identity, keys, network.toml, the time)
// and all in /run/parklamp-init is root's and only read by phoned, so that whoever took phoned over cannot change what the
// next start does. A card whose last system left all of it to phoned becomes so at the first start, and goes on working in
// the older system; what nobody reads, such as the folder log of older systems, stays whose it is.
//
// The socket (package initapi) answers GET /status and GET /log and takes POST /restart, such as
// {"service":"phoned","when":"idle"}: idle is when nobody talks or rings and, for the appliance, nobody is parked whom no
// other takes over.
//
// SIGTERM and SIGINT restart the machine, SIGUSR1 and SIGUSR2 switch it off, as busybox's reboot, halt and poweroff ask for it.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"parklamp/cmd/internal/netconf"
)

var version = "unversioned" // set by the linker

// hookName is the name under which udhcpc calls this program.
const hookName = "udhcpc-hook"

func main() {
	if filepath.Base(os.Args[0]) == hookName {
		if err := netconf.Hook(os.Args[1:], os.Environ()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 2 && os.Args[1] == "-version" {
		fmt.Println("init", version)
		return
	}
	if len(os.Args) == 3 && os.Args[1] == fetchCommand {
		os.Exit(fetchChild(os.Args[2]))
	}
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init is the first process of an appliance's image; use parkctl to talk with the one that runs")
		os.Exit(2)
	}
	newSystem().run()
}
