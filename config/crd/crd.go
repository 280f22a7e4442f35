// Package crd holds the generated CustomResourceDefinitions, so that programs can check objects against them.
package crd

import "embed"

// Bases are the files of the folder bases, one for each kind.
//
//go:embed bases/*.yaml
var Bases embed.FS
