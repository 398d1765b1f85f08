// Command image writes what `make image` has to say about an image: image.json (version, size and hash of each file, and
// whether the limits of the footprint hold) and the licences of what is inside. It builds nothing: buildroot/ does.
//
//	image licences BUILD OUT.tar.gz   copyright files of the Debian packages in BUILD/packages and of the Go modules in the programs
//	image describe OUT BOARD ENGINE   OUT/image.json, from the files in OUT
//
// Exit status: 0, 1 when a file is missing or an image is larger than it may be, 2 for a wrong command line.
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 3 && args[0] == "licences":
		err = licences(args[1], args[2])
	case len(args) == 4 && args[0] == "describe":
		err = describe(args[1], args[2], args[3])
	default:
		fmt.Fprintln(os.Stderr, "usage: image licences BUILD OUT.tar.gz | image describe OUT BOARD ENGINE")
		os.Exit(2)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}
