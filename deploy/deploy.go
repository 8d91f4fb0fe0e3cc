// Package deploy carries the files that the program takes with it: the reference configuration and the demo's recordings.
package deploy

import (
	"embed"
	"io/fs"
)

// Config is the reference configuration: every key with its default, and the demo's pipelines.
//
//go:embed andon.yaml
var Config []byte

//go:embed demo
var files embed.FS

// Demo holds the recordings that demo/README.md describes, by their names without a folder.
func Demo() fs.FS {
	demo, err := fs.Sub(files, "demo")
	if err != nil {
		panic(err) // the name is a constant and valid
	}
	return demo
}
