// Package guesthost boots images in QEMU (-M virt, 32-bit ARM, without KVM) and lets a test act on them as people and networks
// do: keys are pressed and lamps are seen through the hand in the guest (package hands), Ethernet frames go through a switch
// of this process whose cables can be pulled, callers from outside are programs on this machine, and the plug is pulled
// by SIGKILL. It knows nothing of what is inside phoned but its API.
//
// Everything runs in a network namespace of its own (Isolate), so that addresses and ports are ours; it takes /dev/net/tun,
// and root or unprivileged user namespaces. A Guest is a child process that is ended by its id and dies with the
// test; its console is kept in a file. Each Switch has a goroutine for each port, each Guest one that waits for QEMU.
//
// The tests have the tag image and are run by `make image-test`. Times are judged by the guest's clock, and every wait is
// bounded: an emulator on a busy machine is up to ten times slower than on a quiet one.
package guesthost
