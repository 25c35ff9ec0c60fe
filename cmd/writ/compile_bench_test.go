// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/writ-sec/writ/compiler/treegen"
	"github.com/writ-sec/writ/schema/testneed"
)

// Bars of the compiler. The yardstick is the cue command on the same tree in the same run: bars in time are those of a machine on which cue
// export of the large tree takes barExport, and are stretched by what it takes in this run, because machines differ, and one machine does from
// hour to hour.
const (
	barExport     = 39 * time.Second
	barColdWall   = 0.5 // of cue export's
	barColdMemory = 0.2 // of cue export's
	barWarm       = 400 * time.Millisecond
	barVet        = 100 * time.Millisecond
	barDiff       = time.Second
	barGrowth     = 1.3 // time for each workload of the large tree, of that of the small one
)

// warmRuns is how often each warm command is measured; colds how often each cold one of writ is.
const (
	warmRuns = 15
	coldRuns = 3
)

// TestBenchCompile measures whole processes of writ, with all they start, on a tree of 10,000 workloads of 50 rules in 500 folders (with
// -short 1,000 in 100), and fails when a bar is missed. It knows nothing of writ but its command line.
func TestBenchCompile(t *testing.T) {
	cue := testneed.Cue(t)
	small, large := treegen.Thousand, treegen.TenThousand
	if testing.Short() {
		small, large = treegen.Config{Folders: 10, Each: 10}, treegen.Thousand
	}
	writ := buildPrograms(t)
	tree := newPolicyTree(t, writ, large)

	cold := tree.cold(t, "CompileCold")
	export := measure(t, tree.dir, []string{"CUE_REGISTRY=none", "CUE_CACHE_DIR=" + t.TempDir()}, cue, "export", "./...")
	export.print("CueExport", 1)
	ratios := [2]float64{cold.wall.Seconds() / export.wall.Seconds(), float64(cold.peak) / float64(export.peak)}
	fmt.Printf("BenchmarkCompileColdOfCue 1 %.3f wall-ratio %.3f memory-ratio\n", ratios[0], ratios[1])
	if ratios[0] > barColdWall || ratios[1] > barColdMemory {
		t.Errorf("cold, writ takes %.3f of the time of cue export and %.3f of its memory; want at most %v and %v", ratios[0], ratios[1], barColdWall, barColdMemory)
	}

	tree.slower = export.wall.Seconds() / barExport.Seconds()
	if testing.Short() {
		tree.slower = 1
	}
	fmt.Printf("BenchmarkMachine 1 %.2f slower\n", tree.slower)
	tree.warm(t)

	first := newPolicyTree(t, writ, small).cold(t, "CompileColdSmall")
	growth := (cold.wall.Seconds() / float64(large.Workloads())) / (first.wall.Seconds() / float64(small.Workloads()))
	fmt.Printf("BenchmarkCompileGrowth 1 %.2f ratio\n", growth)
	if growth > barGrowth {
		t.Errorf("a workload costs %.2f times as much among %d as among %d; want at most %v", growth, large.Workloads(), small.Workloads(), barGrowth)
	}

	large.Root = 100 // which every folder sees
	newPolicyTree(t, writ, large).cold(t, "CompileColdRoot")
}

// warm measures what an author waits for, after one file of a leaf folder was edited.
func (p *policyTree) warm(t *testing.T) {
	compiled := map[string]bool{}
	p.repeat(t, "CompileWarm", barWarm, func(folder string) usage {
		u := p.run(t, "compile", "--bundle", p.bundle)
		if compiled[string(u.stdout)] {
			t.Fatalf("compile says the same after an edit of %s:\n%s", folder, u.stdout)
		}
		compiled[string(u.stdout)] = true
		return u
	})
	p.repeat(t, "VetFolderEdited", barVet, func(folder string) usage { return p.run(t, "vet", folder) })
	p.run(t, "compile", "--bundle", p.bundle)
	p.repeat(t, "DiffOneLine", barDiff, func(folder string) usage {
		p.git(t, "commit", "-qam", "policy: edit "+folder)
		u := p.run(t, "diff", "HEAD~1..HEAD")
		if !bytes.Contains(u.stdout, []byte("edited-")) {
			t.Fatalf("diff does not name the edit of %s:\n%.2000s", folder, u.stdout)
		}
		return u
	})
	p.run(t, "compile", "--bundle", p.bundle)
	var vets []time.Duration
	for i := range warmRuns {
		vets = append(vets, p.run(t, "vet", fmt.Sprintf("team-%03d", i)).wall)
	}
	reportMedian(t, "VetFolder", vets, p.stretched(barVet))
}

// policyTree is a generated policy repository with a work tree, and a cache of its own.
type policyTree struct {
	writ, dir, cache, bundle string
	cfg                      treegen.Config
	edits                    int
	slower                   float64 // this machine, now, than the one of the bars
}

func newPolicyTree(t *testing.T, writ string, cfg treegen.Config) *policyTree {
	t.Helper()
	p := &policyTree{writ: writ, dir: t.TempDir(), cfg: cfg}
	if err := treegen.Write(p.dir, treegen.Tree(cfg)); err != nil {
		t.Fatal(err)
	}
	p.git(t, "init", "-q", "-b", "main")
	p.git(t, "add", "-A")
	p.git(t, "commit", "-qm", "policy: begin")
	return p
}

func (p *policyTree) git(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.Command(testneed.Binary(t, "git", "apt-get install git"), args...)
	cmd.Dir = p.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=Ann Author", "GIT_AUTHOR_EMAIL=ann@example.com",
		"GIT_COMMITTER_NAME=Ann Author", "GIT_COMMITTER_EMAIL=ann@example.com")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// cold measures writ compile with an empty cache and no bundle, and leaves the last run's. It returns the median time and the highest peak.
func (p *policyTree) cold(t *testing.T, name string) usage {
	t.Helper()
	var runs []usage
	for range coldRuns {
		work := t.TempDir()
		p.cache, p.bundle = filepath.Join(work, "cache"), filepath.Join(work, "bundle")
		runs = append(runs, p.run(t, "compile", "--bundle", p.bundle))
	}
	slices.SortFunc(runs, func(a, b usage) int { return int(a.wall - b.wall) })
	u := runs[len(runs)/2]
	for _, r := range runs {
		u.peak = max(u.peak, r.peak)
	}
	u.print(name, coldRuns)
	return u
}

func (p *policyTree) run(t *testing.T, args ...string) usage {
	t.Helper()
	return measure(t, p.dir, []string{"XDG_CACHE_HOME=" + p.cache}, p.writ, args...)
}

// repeat edits a file and measures, each time in another folder.
func (p *policyTree) repeat(t *testing.T, name string, bar time.Duration, run func(folder string) usage) {
	t.Helper()
	var samples []time.Duration
	for range warmRuns {
		samples = append(samples, run(p.edit(t)).wall)
	}
	reportMedian(t, name, samples, p.stretched(bar))
}

func (p *policyTree) stretched(bar time.Duration) time.Duration {
	return time.Duration(float64(bar) * p.slower)
}

// edit adds a program to a workload of a leaf folder, and returns the folder.
func (p *policyTree) edit(t *testing.T) string {
	t.Helper()
	p.edits++
	folder := fmt.Sprintf("team-%03d", p.edits*37%p.cfg.Folders)
	name := filepath.Join(p.dir, folder, "services-0.cue")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, after, found := bytes.Cut(data, []byte("/bin/main\": {}\n"))
	if !found {
		t.Fatalf("%s has no line to edit", name)
	}
	line := fmt.Sprintf("/bin/main\": {}\n\t\t\"/opt/bench/edited-%d\": {}\n", p.edits)
	if err := os.WriteFile(name, slices.Concat(before, []byte(line), after), 0o644); err != nil {
		t.Fatal(err)
	}
	return folder
}

// usage is what a process cost, with all processes that it started.
type usage struct {
	wall, cpu time.Duration
	peak      int64 // bytes of memory, at the moment when they were most
	stdout    []byte
}

func (u usage) print(name string, runs int) {
	fmt.Printf("Benchmark%s %d %.3f wall-s %.3f cpu-s %.1f peak-MiB\n", name, runs, u.wall.Seconds(), u.cpu.Seconds(), float64(u.peak)/(1<<20))
}

// sampleEvery is how often the memory of processes is read.
const sampleEvery = 20 * time.Millisecond

// measure runs a command that must succeed. A million lines of output are not kept.
func measure(t *testing.T, dir string, env []string, name string, args ...string) usage {
	t.Helper()
	var stdout, stderr head
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &stdout, &stderr
	cmd.Env = append(os.Environ(), env...)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop, peak := make(chan struct{}), make(chan int64)
	go func() { peak <- samplePeak(cmd.Process.Pid, stop) }()
	err := cmd.Wait()
	u := usage{wall: time.Since(start), stdout: stdout.data}
	close(stop)
	u.peak = <-peak
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, stdout.data, stderr.data)
	}
	rusage := cmd.ProcessState.SysUsage().(*syscall.Rusage) // wait4(2): of the process and of those that it waited for
	u.cpu = time.Duration(rusage.Utime.Nano() + rusage.Stime.Nano())
	// Of the largest one process, also between two samples. A process begins with the peak of the one that started it, because the kernel takes
	// over the memory map's high-water mark at execve (fs/exec.c, setmax_mm_hiwater_rss), so a value up to our own says nothing.
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	if rusage.Maxrss > own.Maxrss {
		u.peak = max(u.peak, rusage.Maxrss<<10)
	}
	return u
}

// head keeps the beginning of what is written to it.
type head struct{ data []byte }

func (h *head) Write(p []byte) (int, error) {
	h.data = append(h.data, p[:min(len(p), max(0, 4000-len(h.data)))]...)
	return len(p), nil
}

// samplePeak reads the memory of a process and its descendants until it is told to stop.
func samplePeak(pid int, stop <-chan struct{}) (peak int64) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return peak
		case <-tick.C:
			var anon, file int64
			addMemory(pid, &anon, &file)
			peak = max(peak, anon+file)
		}
	}
}

// addMemory adds the memory of a process and its descendants: what is private summed up, what is mapped from files of the largest one alone,
// because the processes of one program share it. That is what PSS comes to, without its walk over all pages.
func addMemory(pid int, anon, file *int64) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return // gone
	}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch key {
		case "RssAnon", "RssShmem":
			*anon += kib << 10
		case "RssFile":
			*file = max(*file, kib<<10)
		}
	}
	lists, _ := filepath.Glob(filepath.Join(dir, "task", "*", "children")) // by thread, see proc(5)
	for _, name := range lists {
		data, _ := os.ReadFile(name)
		for child := range strings.FieldsSeq(string(data)) {
			if n, err := strconv.Atoi(child); err == nil {
				addMemory(n, anon, file)
			}
		}
	}
}

// reportMedian prints a row in the form of Go's benchmarks, and fails when the bar is missed.
func reportMedian(t *testing.T, name string, samples []time.Duration, bar time.Duration) {
	t.Helper()
	slices.Sort(samples)
	median := samples[len(samples)/2]
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	fmt.Printf("Benchmark%s %d %.1f p50-ms %.1f max-ms %.1f bar-ms\n", name, len(samples), ms(median), ms(samples[len(samples)-1]), ms(bar))
	if median >= bar {
		t.Errorf("%s: the median is %.1f ms; want less than %v", name, ms(median), bar)
	}
}

// TestMeasure tries the measuring on a process that is known: 64 MiB in a child of a child.
func TestMeasure(t *testing.T) {
	if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d/children", os.Getpid())); errors.Is(err, fs.ErrNotExist) {
		testneed.Skip(t, "needs a kernel with CONFIG_PROC_CHILDREN")
	}
	sh := testneed.Binary(t, "sh", "any POSIX shell")
	testneed.Binary(t, "dd", "apt-get install coreutils")
	ballast := bytes.Repeat([]byte{1}, 128<<20) // what this process holds must not count
	u := measure(t, t.TempDir(), nil, sh, "-c", "sh -c 'dd if=/dev/zero of=/dev/stdout bs=64M count=4 | (sleep 0.3; cat >/dev/null)'; echo done")
	if u.peak < 64<<20 || u.peak > 96<<20 || u.wall < 300*time.Millisecond || u.cpu <= 0 || string(u.stdout) != "done\n" {
		t.Errorf("measured %v, %v CPU, %d bytes, %q; want 64 MiB for 0.3 s", u.wall, u.cpu, u.peak, u.stdout)
	}
	runtime.KeepAlive(ballast)
}
