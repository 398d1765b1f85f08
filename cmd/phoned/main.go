// Command phoned is the firmware of a Parklamp desk phone. It reads one configuration file, starts the appliance and
// runs until it is told to stop (SIGINT, SIGTERM), or to make room for a process that goes on with the parked callers
// (SIGUSR1: at once; SIGUSR2: after a restart of the machine). Everything else is in the packages that it wires together.
//
// Exit status: 0 after a stop, 1 when a part failed (its message says which and what to do), 2 when the command line
// is wrong or after a panic, 78 when the configuration is wrong.
package main

import "parklamp/cmd/internal/daemon"

var version = "unversioned" // set by the linker

func main() { daemon.Main("phoned", version, true) }
