// Command parkd is a Parklamp gateway: the firmware without phone hardware. It parks, hands over and shows the calls of
// other makers' phones, and is a full member of the federation. It is configured, started and stopped as phoned is.
package main

import "parklamp/cmd/internal/daemon"

var version = "unversioned" // set by the linker

func main() { daemon.Main("parkd", version, false) }
