// A service and a runner of the original PARCS, version 1, written from the description of its wire.
package main

import (
	"fmt"
	"os"
)

func main() {
	var err error
	switch {
	case os.Getenv("LEADER_URL") == "":
		err = fmt.Errorf("LEADER_URL is not set")
	case len(os.Args) == 2 && os.Args[1] == "service":
		err = serve()
	case len(os.Args) == 2 && os.Args[1] == "runner":
		err = run()
	default:
		err = fmt.Errorf("usage: peer service | runner")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
