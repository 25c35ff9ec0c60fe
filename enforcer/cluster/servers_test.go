// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// dies makes TestE2EServersEndWithUs start a cluster and end like a test that ran into its timeout.
const dies = "WRIT_TEST_CLUSTER_DIES"

// TestE2EServersEndWithUs ends a test's process in the two ways in which it cannot clean up, and looks for what it started.
func TestE2EServersEndWithUs(t *testing.T) {
	if os.Getenv(dies) != "" {
		startAndDie(t)
	}
	Start(t, Config{}) // skips where there are no servers
	for _, how := range []string{"panic", "kill"} {
		t.Run(how, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestE2EServersEndWithUs$", "-test.v")
			cmd.Env = append(os.Environ(), dies+"="+how)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatalf("the process ended well:\n%s", out)
			}
			pids := regexp.MustCompile(`(?m)^server (\d+)$`).FindAllSubmatch(out, -1)
			if len(pids) != 2 {
				t.Fatalf("the process names %d servers; want 2:\n%s", len(pids), out)
			}
			for _, m := range pids {
				pid, err := strconv.Atoi(string(m[1]))
				if err != nil {
					t.Fatal(err)
				}
				Eventually(t, fmt.Sprintf("server %d ends", pid), func() error {
					if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
						return fmt.Errorf("it is there: %v", err)
					}
					return nil
				})
			}
		})
	}
}

// startAndDie prints the process ids of our servers, and ends without any deferred call.
func startAndDie(t *testing.T) {
	Start(t, Config{})
	for _, name := range []string{"etcd", "kube-apiserver"} {
		fmt.Printf("server %d\n", childCalled(t, name))
	}
	if os.Getenv(dies) == "kill" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Minute)
	}
	go panic("as the timeout of go test does") // on a goroutine that no test recovers
	time.Sleep(time.Minute)
}

// childCalled finds the process that we started, by the end of its program's name.
func childCalled(t *testing.T, name string) int {
	t.Helper()
	out, err := exec.Command("ps", "-o", "pid=,comm=", "--ppid", strconv.Itoa(os.Getpid())).Output()
	if err != nil {
		t.Fatalf("ps: %v", err)
	}
	m := regexp.MustCompile(`(?m)^\s*(\d+) ` + regexp.QuoteMeta(name[:min(len(name), 15)]) + `$`).FindSubmatch(out)
	if m == nil {
		t.Fatalf("no child is called %s:\n%s", name, out)
	}
	pid, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
