package main

import (
	"flag"
	"fmt"
	"path/filepath"
)

type options struct {
	dir        string
	kubeconfig string
	readyFile  string
	port       int
}

func parseOptions(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("controlplane", flag.ContinueOnError)
	flags.StringVar(&o.dir, "dir", "", "folder for keys, etcd data and logs; kept at the end. Empty: a temporary folder, removed at the end")
	flags.StringVar(&o.kubeconfig, "kubeconfig", "", "file for the administrator's kubeconfig, removed at the end. Empty: kubeconfig in the state folder")
	flags.StringVar(&o.readyFile, "ready-file", "", "file that holds the server's URL while it is ready")
	flags.IntVar(&o.port, "port", 0, "loopback port of the API server; 0: a free one")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	// The process changes into the state folder, so every path is made absolute first.
	for _, path := range []*string{&o.dir, &o.kubeconfig, &o.readyFile} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return o, err
		}
		*path = absolute
	}
	return o, nil
}
