//go:build needed

// Package needed makes `go mod tidy` keep what `.ci/kube` builds.
package needed

import _ "k8s.io/kubernetes/cmd/kube-apiserver"
