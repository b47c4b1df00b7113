//go:build tools

// Package tools pins etcd as a build target of this module. The tests of certkeeper build it with `go build`.
package tools

import (
	_ "go.etcd.io/etcd/server/v3"
)
