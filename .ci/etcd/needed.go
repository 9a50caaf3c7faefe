//go:build needed

// Package needed makes `go mod tidy` keep what `.ci/kube` builds.
package needed

import _ "go.etcd.io/etcd/server/v3"
