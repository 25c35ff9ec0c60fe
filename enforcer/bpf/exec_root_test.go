// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/schema"
)

func TestRootPatterns(t *testing.T) {
	r := newRig(t, Config{})
	d := r.dir
	for _, p := range []string{"bin/a", "bin/b", "lib/x/y", "lib/z", "opt/v1/run", "opt/v1/deep/run"} {
		r.program(p)
	}
	r.want(true, d+"/bin/b")
	r.enforce(workload(schema.ModeEnforce, d+"/bin/a", d+"/lib/**", d+"/opt/*/run"))
	for path, ran := range map[string]bool{
		"/bin/a": true, "/bin/b": false, "/lib/x/y": true, "/lib/z": true, "/opt/v1/run": true, "/opt/v1/deep/run": false,
	} {
		r.want(ran, d+path)
	}
	if lost := r.lost(); len(lost) > 0 {
		t.Errorf("lost %v", lost)
	}
	if err := r.k.Unbind(r.id); err != nil {
		t.Fatal(err)
	}
	r.want(true, d+"/bin/b")
}

// A cgroup below a bound one is bound too, unless it is bound itself.
func TestRootNestedCgroups(t *testing.T) {
	r := newRig(t, Config{})
	p := r.program("p")
	r.enforce(workload(schema.ModeEnforce, "/none"))
	top, level := r.cgroup, r.level
	for _, name := range []string{"x", "y", "z"} {
		r.cgroup = filepath.Join(r.cgroup, name)
		if err := os.Mkdir(r.cgroup, 0o755); err != nil {
			t.Fatal(err)
		}
		r.t.Cleanup(func(dir string) func() { return func() { os.Remove(dir) } }(r.cgroup))
	}
	r.fd.Close()
	fd, err := os.Open(r.cgroup)
	if err != nil {
		t.Fatal(err)
	}
	r.fd = fd
	r.want(false, p)
	im, err := Compile([]*schema.Workload{workload(schema.ModeEnforce, p)}, 9)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.k.SetProgram(7, im); err != nil {
		t.Fatal(err)
	}
	if err := r.k.Bind(cgroupID(t, filepath.Join(top, "x/y")), level+2, 7); err != nil {
		t.Fatal(err)
	}
	r.want(true, p)
}

func TestRootParent(t *testing.T) {
	r := newRig(t, Config{})
	one, two, p := r.exe("one"), r.exe("dir/two"), r.program("p")
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if r.k.variant.name == variantDone.name {
		r.enforce(workload(schema.ModeEnforce, one, p+" "+one))
		if r.child(one, "exec", p) {
			t.Error("a rule with a parent allowed, though the parent is not known here")
		}
		return
	}
	for _, test := range []struct {
		parents  string
		one, two bool
	}{
		{one, true, false}, {r.dir + "/dir/**", false, true}, {r.dir + "/d*/tw*", false, true}, {"/else " + two, false, true},
		{r.dir + "/**", true, true}, {self, false, false},
	} {
		r.enforce(workload(schema.ModeEnforce, one, two, p+" "+test.parents))
		if got := r.child(one, "exec", p); got != test.one {
			t.Errorf("parents %q: %q ran: %v; want %v", test.parents, one, got, test.one)
		}
		if got := r.child(two, "exec", p); got != test.two {
			t.Errorf("parents %q: %q ran: %v; want %v", test.parents, two, got, test.two)
		}
	}
	r.enforce(workload(schema.ModeEnforce, one, p+" "+two))
	records := r.judged(func() { r.child(one, "exec", p) })
	if len(records) != 1 || records[0].Reason != schema.ReasonParent || records[0].Rule != 3 || string(records[0].Parent) != one ||
		string(records[0].Object) != p {
		t.Errorf("records %+v; want one that names rule 3 and the parent %q", records, one)
	}
}

func TestRootNames(t *testing.T) {
	r := newRig(t, Config{})
	real := r.program("real")
	for _, link := range []string{"link", "applet"} {
		if err := os.Symlink("real", filepath.Join(r.dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	hard := filepath.Join(r.dir, "hard")
	if err := os.Link(real, hard); err != nil {
		t.Fatal(err)
	}
	odd := r.program("not\xffutf8\n\t*[")
	r.enforce(workload(schema.ModeEnforce, real))
	r.want(true, r.dir+"/link")   // a symlink is what it points to
	r.want(true, r.dir+"/applet") // so is each name of a multi-call program
	r.want(false, hard)           // a hard link is another path
	r.want(false, odd)
	records := r.judged(func() { r.want(false, odd) })
	if len(records) != 1 || string(records[0].Object) != odd {
		t.Errorf("records %+v; want one of %q", records, odd)
	}
	r.enforce(workload(schema.ModeEnforce, r.dir+"/link"))
	r.want(false, r.dir+"/link") // a rule for a symlink names nothing
	r.enforce(workload(schema.ModeEnforce, r.dir+"/not*"))
	r.want(true, odd)
}

func TestRootScripts(t *testing.T) {
	r := newRig(t, Config{})
	interp := r.program("interp")
	script := r.file("script", []byte("#!"+interp+"\n"))
	r.enforce(workload(schema.ModeEnforce, interp))
	r.want(r.k.Backend() == "tracing", script) // the script itself is seen by the LSM alone
	r.enforce(workload(schema.ModeEnforce, script))
	r.want(false, script)
	r.enforce(workload(schema.ModeEnforce, script, interp))
	r.want(true, script)
	r.enforce(workload(schema.ModeAudit))
	records := r.judged(func() { r.want(true, script) })
	want := []string{script, interp}
	if r.k.Backend() == "tracing" {
		want = want[1:]
	}
	var got []string
	for _, rec := range records {
		got = append(got, string(rec.Object))
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("judged %q; want %q", got, want)
	}
}

// Files that no rule can allow, though everything is allowed.
func TestRootOrigins(t *testing.T) {
	r := newRig(t, Config{})
	exe, p := r.exe("exe"), r.program("p")
	other, onto := r.program("other/p"), r.program("onto/p")
	r.enforce(workload(schema.ModeEnforce, "/**"))
	r.want(true, p)
	for _, test := range []struct {
		role   string
		args   []string
		ran    bool
		origin schema.Origin
		object string
	}{
		{"fd", []string{p}, true, "", ""},
		{"exec", []string{"/proc/self/root" + p}, true, "", ""},
		{"memfd", []string{p}, false, schema.OriginMemfd, "/memfd:writ"},
		{"deleted", []string{r.program("gone")}, false, schema.OriginDeleted, r.dir + "/gone"},
		{"unshare", []string{filepath.Dir(other), filepath.Dir(onto), onto}, false, schema.OriginForeign, onto},
		{"unshare", []string{"", "", p}, false, schema.OriginForeign, p}, // even a mount that was there before
		{"mount", []string{filepath.Dir(other), filepath.Dir(onto), onto}, false, schema.OriginForeign, onto},
		{"mount", []string{"", "", p}, true, "", ""},
		{"mount", []string{filepath.Dir(other), filepath.Dir(onto), p}, hasUniqueMountIDs() || onRootMount(t, p), schema.OriginForeign, p},
	} {
		t.Run(test.role, func(t *testing.T) {
			var ran bool
			records := r.judged(func() { ran = r.child(exe, test.role, test.args...) })
			unix.Unmount(filepath.Dir(onto), unix.MNT_DETACH)
			if ran != test.ran {
				t.Errorf("ran: %v; want %v", ran, test.ran)
			}
			if ran {
				return
			}
			if len(records) != 1 || records[0].Origin != test.origin || string(records[0].Object) != test.object ||
				records[0].Reason != schema.ReasonOrigin || records[0].Rule != 1 || records[0].Action != schema.ActionDeny {
				t.Errorf("records %+v; want one denial of %q for the origin %q", records, test.object, test.origin)
			}
		})
	}
}

// onRootMount reports whether a file is on the mount of the root, by the mount's number in the kernel.
func onRootMount(t *testing.T, path string) bool {
	var file, root unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_MNT_ID, &file); err != nil {
		t.Fatal(err)
	}
	if err := unix.Statx(unix.AT_FDCWD, "/", 0, unix.STATX_MNT_ID, &root); err != nil {
		t.Fatal(err)
	}
	return file.Mnt_id == root.Mnt_id
}

// A hard link whose name is removed has a path that is gone, though the file has another.
func TestRootDeletedHardLink(t *testing.T) {
	r := newRig(t, Config{})
	exe, p := r.exe("exe"), r.program("p")
	hard := filepath.Join(r.dir, "hard")
	if err := os.Link(p, hard); err != nil {
		t.Fatal(err)
	}
	r.enforce(workload(schema.ModeEnforce, "/**"))
	if r.child(exe, "deleted", hard) {
		t.Error("ran through a removed name")
	}
	r.want(true, p)
}

// The path is the one from the top of the mount tree, whatever the process calls its root.
func TestRootChroot(t *testing.T) {
	r := newRig(t, Config{})
	exe := r.exe("exe")
	r.program("jail/bin/p")
	r.enforce(workload(schema.ModeEnforce, exe, "/bin/p"))
	if r.child(exe, "chroot", r.dir+"/jail", "/bin/p") {
		t.Error("chroot made another file look like /bin/p")
	}
	r.enforce(workload(schema.ModeEnforce, exe, r.dir+"/jail/bin/p"))
	if !r.child(exe, "chroot", r.dir+"/jail", "/bin/p") {
		t.Error("the whole path is not allowed inside a chroot")
	}
}

func TestRootLongPaths(t *testing.T) {
	r := newRig(t, Config{})
	exe := r.exe("exe")
	long := strings.Repeat("n", 255)
	r.enforce(workload(schema.ModeEnforce, exe, r.dir+"/"+long))
	r.want(true, r.program(long))
	for _, test := range []struct {
		length int
		ran    bool
	}{{4094, true}, {4095, true}, {4096, false}, {4097, false}, {6000, false}} {
		dirs, name, path := longPath(t, r.dir, test.length)
		makeDeep(t, r.dir, dirs, name, elf(t))
		ws := workload(schema.ModeEnforce, exe)
		if test.ran {
			ws = workload(schema.ModeEnforce, exe, path)
		} else {
			ws.Rules[0].Object = "/**"
		}
		r.enforce(ws)
		var ran bool
		records := r.judged(func() { ran = r.child(exe, "deep", append([]string{r.dir, name}, dirs...)...) })
		if ran != test.ran {
			t.Errorf("a path of %d bytes ran: %v; want %v", test.length, ran, test.ran)
		}
		if !test.ran && (len(records) != 1 || records[0].Origin != schema.OriginTooLong || !strings.HasSuffix(path, string(records[0].Object)) ||
			len(records[0].Object) < 3000) {
			t.Errorf("a path of %d bytes: records %+v; want one of origin too-long with the end of the path", test.length, records)
		}
		if err := os.RemoveAll(filepath.Join(r.dir, dirs[0])); err != nil {
			t.Fatal(err)
		}
	}
}

// longPath returns folders and a name that make a path of a length below a folder.
func longPath(t *testing.T, root string, length int) (dirs []string, name, path string) {
	path = root
	for length-len(path) > 1+255+1+10 {
		dirs = append(dirs, strings.Repeat("d", 200))
		path += "/" + dirs[len(dirs)-1]
	}
	name = strings.Repeat("p", min(255, length-len(path)-1))
	if rest := length - len(path) - 1 - len(name); rest > 0 {
		dirs = append(dirs, strings.Repeat("e", rest-1))
		path += "/" + dirs[len(dirs)-1]
	}
	path += "/" + name
	if len(path) != length {
		t.Fatalf("made a path of %d bytes; want %d", len(path), length)
	}
	return dirs, name, path
}

// makeDeep makes the folders one inside the other, since the whole path can't be named.
func makeDeep(t *testing.T, root string, dirs []string, name string, data []byte) {
	fd, err := unix.Open(root, unix.O_PATH|unix.O_CLOEXEC, 0)
	for _, dir := range dirs {
		if err != nil {
			t.Fatal(err)
		}
		if err = unix.Mkdirat(fd, dir, 0o755); err != nil {
			t.Fatal(err)
		}
		next, e := unix.Openat(fd, dir, unix.O_PATH|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		fd, err = next, e
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	file, err := unix.Openat(fd, name, unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(file, data); err != nil {
		t.Fatal(err)
	}
	unix.Close(file)
}

func TestRootThread(t *testing.T) {
	r := newRig(t, Config{})
	exe, p, q := r.exe("exe"), r.program("p"), r.program("q")
	r.enforce(workload(schema.ModeEnforce, exe, p))
	if !r.child(exe, "thread", p) {
		t.Error("an allowed exec from a thread did not run")
	}
	if r.child(exe, "thread", q) {
		t.Error("a denied exec from a thread ran")
	}
}

func TestRootModes(t *testing.T) {
	r := newRig(t, Config{})
	p, q := r.program("p"), r.program("q")
	cmd := r.command(q)
	for mode, want := range map[schema.Mode]schema.Action{
		schema.ModeLearn: schema.ActionLearn, schema.ModeAudit: schema.ActionAudit, schema.ModeEnforce: schema.ActionDeny,
	} {
		im := r.enforce(workload(mode, p))
		records := r.judged(func() {
			r.want(true, p)
			cmd = r.command(q)
			r.outcome(cmd)
		})
		if len(records) != 1 {
			t.Fatalf("%s: records %+v; want one", mode, records)
		}
		rec := records[0]
		if rec.Action != want || rec.Rule != 1 || rec.Reason != schema.ReasonNoRule || string(rec.Object) != q || rec.Count != 1 ||
			rec.Bound != r.id || rec.Cgroup != r.id || rec.Slot != 0 || rec.Program != im.Program() || rec.PPID != os.Getpid() || rec.UID != 0 {
			t.Errorf("%s: record %+v", mode, rec)
		}
		if cmd.Process != nil && rec.PID != cmd.Process.Pid {
			t.Errorf("%s: pid %d; want %d", mode, rec.PID, cmd.Process.Pid)
		}
		status, killed := cmd.ProcessState, false
		if status != nil {
			killed = status.Sys().(syscall.WaitStatus).Signal() == unix.SIGKILL
		}
		if wantKill := mode == schema.ModeEnforce && r.k.Backend() == "tracing"; killed != wantKill {
			t.Errorf("%s: killed: %v; want %v", mode, killed, wantKill)
		}
	}
	r.enforce(&schema.Workload{Name: "open"})
	if records := r.judged(func() { r.want(true, q) }); len(records) != 0 {
		t.Errorf("open: records %+v", records)
	}
}
