//go:build tools

// Package tools pins kube-apiserver as a build target of this module. The tests of certkeeper build it with `go build`.
package tools

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
)
