package main
import (
 _ "cuelang.org/go/cue"
 _ "cuelang.org/go/cue/load"
 _ "github.com/go-git/go-git/v5"
 _ "github.com/go-git/go-git/v5/plumbing/transport/ssh"
 _ "github.com/cilium/ebpf"
 _ "github.com/cilium/ebpf/link"
 _ "github.com/cilium/ebpf/ringbuf"
 _ "github.com/spf13/cobra"
 _ "golang.org/x/sync/errgroup"
 _ "golang.org/x/sys/unix"
 _ "github.com/rogpeppe/go-internal/testscript"
 _ "github.com/rogpeppe/go-internal/txtar"
 _ "sigs.k8s.io/kustomize/kyaml/yaml"
)
func main(){}
