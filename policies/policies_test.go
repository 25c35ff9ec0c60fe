// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package policies

import (
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/build"
	"cuelang.org/go/cue/cuecontext"
	"cuelang.org/go/cue/literal"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/testneed"
)

// The fields that sets are for, as paths in a workload, or in a bound if they begin with never.
const (
	read        = "file.read"
	write       = "file.write"
	programs    = "exec"
	neverExec   = "never.exec"
	neverEgress = "never.egress"
	neverFile   = "never.file"
	neverImage  = "never.image"
	neverPaths  = "never.pod.hostPaths"
	neverCaps   = "never.pod.addCapabilities"
	neverVols   = "never.pod.volumes"
)

// sets says of each set which field it is for, and of some objects whether it names them.
var sets = map[string]struct {
	field     string
	names     []string
	namesNone []string
}{
	"libc": {read,
		[]string{"/etc/ld.so.cache", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/aarch64-linux-gnu/libm.so.6",
			"/lib/x86_64-linux-gnu/libc-2.31.so", "/usr/lib64/libc.so.6", "/usr/lib/x86_64-linux-gnu/libgcc_s.so.1", "/usr/lib/x86_64-linux-gnu/libz.so.1.2.13",
			"/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1", "/usr/lib/ld-musl-aarch64.so.1", "/usr/lib/libssl.so.3",
			"/usr/lib/x86_64-linux-gnu/gconv/gconv-modules.cache", "/usr/lib/locale/C.utf8/LC_MESSAGES/SYS_LC_MESSAGES", "/etc/resolv.conf", "/etc/passwd",
			"/usr/share/zoneinfo/Europe/Berlin", "/dev/urandom", "/proc/4711/maps", "/sys/devices/system/cpu/online"},
		[]string{"/etc/shadow", "/etc/ld.so.preload", "/usr/lib/x86_64-linux-gnu/perl/5.36/auto/POSIX/POSIX.so", "/usr/lib/x86_64-linux-gnu", "/lib/modules/6.1.0/x.ko",
			"/usr/lib/python3/dist-packages/yaml.py", "/proc/4711/mem", "/proc/4711/environ", "/proc/4711/task/4711/maps", "/proc/kcore", "/home/ann/libc.so.6", "/dev/sda",
			"/usr/local/lib/libevil.so"}},
	"devices": {write,
		[]string{"/dev/null", "/dev/full", "/dev/tty"},
		[]string{"/dev/sda", "/dev/mem", "/dev/pts/0", "/dev/shm/x", "/dev/kmsg"}},
	"caCertificates": {read,
		[]string{"/etc/ssl/certs", "/etc/ssl/certs/ca-certificates.crt", "/usr/share/ca-certificates/mozilla/ISRG_Root_X1.crt", "/etc/ssl/certs/java/cacerts",
			"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "/etc/ssl/openssl.cnf"},
		[]string{"/etc/ssl/private/server.key", "/etc/ssl/private", "/etc/pki/tls/private/server.key", "/etc/ssl"}},
	"goStatic": {read,
		[]string{"/etc/resolv.conf", "/usr/share/zoneinfo/UTC", "/proc/1/cgroup", "/sys/fs/cgroup/cpu.max", "/proc/sys/net/core/somaxconn"},
		[]string{"/usr/lib/x86_64-linux-gnu/libc.so.6", "/etc/shadow", "/proc/1/environ", "/etc/ssl/certs/ca-certificates.crt"}},
	"python": {read,
		[]string{"/usr/lib/python3.11/json/__init__.py", "/usr/lib/python3.11", "/usr/lib/python3/dist-packages/yaml/__init__.py",
			"/usr/local/lib/python3.12/site-packages/x.so", "/usr/local/lib/libpython3.12.so.1.0", "/etc/python3.11/sitecustomize.py"},
		[]string{"/usr/lib/python2.7/os.py", "/usr/local/lib/node_modules/x.js", "/usr/lib/x86_64-linux-gnu/libc.so.6", "/app/main.py"}},
	"pythonPrograms": {programs,
		[]string{"/usr/bin/python3.11", "/usr/local/bin/python3.12", "/usr/libexec/platform-python3.6"},
		[]string{"/usr/bin/python2.7", "/usr/bin/pip3", "/tmp/python3.11", "/usr/bin/x/python3.11"}},
	"java": {read,
		[]string{"/usr/lib/jvm/java-17-openjdk-amd64/lib/server/libjvm.so", "/etc/java-17-openjdk/security/java.security", "/opt/java/openjdk/lib/modules",
			"/proc/77/mountinfo", "/proc/77/net/if_inet6", "/sys/kernel/mm/transparent_hugepage/enabled", "/sys/fs/cgroup/memory.max"},
		[]string{"/etc/shadow", "/proc/77/environ", "/proc/77/net/tcp", "/app/app.jar", "/etc/javascript.conf"}},
	"javaWrites": {write,
		[]string{"/tmp/hsperfdata_root", "/tmp/hsperfdata_root/77", "/proc/77/coredump_filter"},
		[]string{"/tmp/x", "/tmp/hsperfdata_root/77/x", "/proc/77/oom_score_adj"}},
	"javaPrograms": {programs,
		[]string{"/usr/lib/jvm/java-17-openjdk-amd64/bin/java", "/opt/java/openjdk/bin/java", "/usr/lib/jvm/java-17-openjdk-amd64/lib/jspawnhelper"},
		[]string{"/usr/lib/jvm/java-17-openjdk-amd64/bin/jshell", "/usr/bin/java"}},
	"node": {read,
		[]string{"/usr/bin/node", "/usr/local/lib/node_modules/npm/package.json", "/proc/9/cgroup"},
		[]string{"/app/node_modules/x/index.js", "/etc/passwd", "/proc/9/environ"}},
	"nodePrograms": {programs,
		[]string{"/usr/bin/node", "/usr/local/bin/node"},
		[]string{"/usr/local/lib/node_modules/npm/bin/npm-cli.js", "/usr/bin/nodejs-x"}},
	"nginx": {read,
		[]string{"/etc/nginx", "/etc/nginx/conf.d/default.conf", "/usr/share/nginx/html/index.html", "/usr/lib/nginx/modules/ngx_http_geoip_module.so"},
		[]string{"/etc/ssl/private/server.key", "/var/log/nginx/access.log", "/var/www/html/index.html"}},
	"nginxWrites": {write,
		[]string{"/run/nginx.pid", "/var/log/nginx/access.log", "/var/cache/nginx/client_temp/1", "/var/lib/nginx/body/0000000001"},
		[]string{"/etc/nginx/nginx.conf", "/usr/share/nginx/html/index.html", "/var/log/syslog"}},
	"nginxPrograms": {programs,
		[]string{"/usr/sbin/nginx"},
		[]string{"/bin/sh", "/docker-entrypoint.sh"}},
	"shells": {neverExec,
		[]string{"/bin/sh", "/usr/bin/dash", "/usr/bin/bash", "/usr/bin/zsh", "/opt/microsoft/powershell/7/pwsh"},
		[]string{"/usr/bin/ssh", "/usr/bin/chsh", "/bin/busybox", "/usr/bin/push", "/usr/bin/fishd"}},
	"busybox": {neverExec,
		[]string{"/bin/busybox", "/usr/bin/busybox"},
		[]string{"/bin/sh", "/usr/bin/bash"}},
	"packageManagers": {neverExec,
		[]string{"/usr/bin/apt-get", "/sbin/apk", "/usr/bin/dnf5", "/usr/local/bin/pip3.12", "/usr/bin/pip3", "/venv/bin/pip", "/usr/local/lib/node_modules/npm/bin/npm-cli.js",
			"/usr/share/nodejs/npm/bin/npm-cli.js", "/opt/yarn-v1.22.22/bin/yarn.js"},
		[]string{"/usr/bin/python3.11", "/usr/bin/node", "/usr/bin/dpkg-query", "/usr/bin/pipe", "/usr/bin/pip3/x"}},
	"cryptominers": {neverExec,
		[]string{"/tmp/xmrig", "/tmp/.x/xmrig-6.21.0", "/xmrig", "/var/tmp/kdevtmpfsi", "/tmp/kinsing_x"},
		[]string{"/usr/bin/miner", "/usr/bin/perl", "/opt/xmrig-6/README"}},
	"metadata": {neverEgress,
		[]string{"169.254.169.254", "fd00:ec2::254", "168.63.129.16", "100.100.100.200"},
		[]string{"169.254.169.253", "169.254.170.23", "10.0.0.1", "fd00:ec2::253"}},
	"containerCredentials": {neverEgress,
		[]string{"169.254.170.2", "169.254.170.23", "fd00:ec2::23"},
		[]string{"169.254.169.254", "169.254.170.3"}},
	"serviceAccountTokens": {neverFile,
		[]string{"/run/secrets/kubernetes.io/serviceaccount/..2026_12_01_09_00_00.1/token", "/var/run/secrets/eks.amazonaws.com/serviceaccount/token"},
		[]string{"/run/secrets/mounted", "/etc/secrets/kubernetes.io/token"}},
	"runtimeSockets": {neverPaths,
		[]string{"/var/run/docker.sock", "/run/containerd/containerd.sock", "/run", "/var/run/", "/", "/var", "/run/crio", "/run/../etc"},
		[]string{"/run/secrets", "/var/lib/docker", "/data", "/run/containerd2"}},
	"sensitiveHostPaths": {neverPaths,
		[]string{"/", "/etc", "/etc/kubernetes/admin.conf", "/root/.ssh", "/var/lib", "/var/lib/kubelet/pods/x", "/proc", "/dev/sda", "/var/log/pods"},
		[]string{"/data", "/mnt/disk1", "/var/lib/postgresql", "/srv", "/etc2"}},
	"hostVolumes": {neverVols,
		[]string{"hostPath", "nfs", "gitRepo", "awsElasticBlockStore"},
		[]string{"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"}},
	"capabilities": {neverCaps,
		[]string{"SYS_ADMIN", "NET_RAW", "CHOWN", "CHECKPOINT_RESTORE"},
		[]string{"NET_BIND_SERVICE"}},
	"hostCapabilities": {neverCaps,
		[]string{"SYS_ADMIN", "NET_RAW", "SYS_PTRACE", "DAC_READ_SEARCH"},
		[]string{"NET_BIND_SERVICE", "CHOWN", "MKNOD", "SYS_CHROOT", "KILL"}},
	"publicRegistries": {neverImage,
		[]string{"nginx", "docker.io/library/nginx:1", "ghcr.io/a/b@" + someDigest, "public.ecr.aws/x/y:1"},
		[]string{"registry.example.com/nginx", "ghcr.io.example.com/a/b"}},
}

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// groups hold whole bounds and values for pod; see bounds_test.go.
var groups = []string{"bounds", "pods"}

// matches reports whether a key of a set for a field names an object.
func matches(field, key, object string) bool {
	switch field {
	case neverImage:
		p, err := schema.ParseImagePattern(key)
		i, err2 := schema.ParseImage(object)
		return err == nil && err2 == nil && p.Matches(i)
	case neverPaths:
		return judged(schema.PodHostPaths, key, object)
	case neverCaps, neverVols:
		return key == object
	}
	return schema.MatchPath(key, object)
}

// judged asks Judge whether a bound that forbids a value of a Pod's field forbids another.
func judged(field schema.PodField, value, have string) bool {
	b := &schema.Bound{Name: "b", Mode: schema.ModeEnforce, Never: []schema.Rule{{ID: 1, Plane: schema.PlanePod, Verb: schema.VerbSet, Object: string(field), Values: []string{value}}}}
	e := schema.Event{Verb: schema.VerbSet, Set: map[schema.PodField]schema.Names{field: {have}}}
	return schema.Selection{Bounds: []*schema.Bound{b}}.Judge(e, time.Time{}).Action == schema.ActionDeny
}

// parsed returns the keys of each set, and fails where the library holds more than literals.
func parsed(t *testing.T) map[string][]string {
	t.Helper()
	keys := map[string][]string{}
	for name, data := range embedded(t, CUE) {
		f, err := parser.ParseFile(name, data, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls[1:] {
			field, ok := d.(*ast.Field)
			if !ok {
				t.Fatalf("%s: %v is not a field; want named sets alone", d.Pos(), d)
			}
			set := label(t, field)
			if slices.Contains(groups, set) {
				continue
			}
			if keys[set] != nil || len(ast.Comments(field)) == 0 || !strings.HasPrefix(ast.Comments(field)[0].Text(), set+" is for ") {
				t.Errorf("%s: %s is stated twice, or has no comment \"%s is for ...\"", field.Pos(), set, set)
			}
			for _, e := range literalStruct(t, field.Value) {
				key := label(t, e)
				if slices.Contains(keys[set], key) {
					t.Errorf("%s: %s holds %q twice", e.Pos(), set, key)
				}
				keys[set] = append(keys[set], key)
				for _, inner := range literalStruct(t, e.Value) {
					if _, ok := inner.Value.(*ast.BasicLit); !ok {
						t.Errorf("%s: %q of %s is not a literal", inner.Pos(), key, set)
					}
				}
			}
		}
	}
	return keys
}

func label(t *testing.T, f *ast.Field) string {
	t.Helper()
	if f.Constraint != 0 || len(f.Attrs) > 0 {
		t.Fatalf("%s: has a constraint or an attribute; want a regular field", f.Pos())
	}
	switch l := f.Label.(type) {
	case *ast.Ident:
		if !strings.HasPrefix(l.Name, "_") && !strings.HasPrefix(l.Name, "#") {
			return l.Name
		}
	case *ast.BasicLit:
		if s, err := literal.Unquote(l.Value); err == nil {
			return s
		}
	}
	t.Fatalf("%s: the label is not a regular name", f.Pos())
	return ""
}

func literalStruct(t *testing.T, x ast.Expr) (fields []*ast.Field) {
	t.Helper()
	s, ok := x.(*ast.StructLit)
	if !ok {
		t.Fatalf("%s: is not a literal struct", x.Pos())
	}
	for _, e := range s.Elts {
		switch e := e.(type) {
		case *ast.Field:
			fields = append(fields, e)
		case *ast.CommentGroup:
		default:
			t.Fatalf("%s: is not a field", e.Pos())
		}
	}
	return fields
}

// TestKeys holds the library against the table above, and each path against the rules for patterns.
func TestKeys(t *testing.T) {
	keys := parsed(t)
	if got, want := slices.Sorted(maps.Keys(keys)), slices.Sorted(maps.Keys(sets)); !slices.Equal(got, want) {
		t.Errorf("the library has the sets\n%v\nwant\n%v", got, want)
	}
	for name, set := range sets {
		if !slices.Contains([]string{read, write, programs, neverExec, neverFile, neverPaths}, set.field) {
			continue
		}
		globs := 0
		for _, key := range keys[name] {
			if err := schema.CheckPattern(key); err != nil {
				t.Errorf("%s: %q %v", name, key, err)
			}
			if schema.PatternKind(key) == schema.KindGlob {
				globs++
			}
		}
		if globs > schema.MaxGlobs/2 {
			t.Errorf("%s has %d patterns that are neither exact nor dir/**; want at most half of the %d that a workload may have", name, globs, schema.MaxGlobs)
		}
	}
}

// TestNames judges the objects of the table.
func TestNames(t *testing.T) {
	keys := parsed(t)
	cidrs := cidrsOf(t)
	for name, set := range sets {
		names := func(object string) bool {
			return slices.ContainsFunc(keys[name], func(key string) bool { return matches(set.field, key, object) })
		}
		if set.field == neverEgress {
			names = func(object string) bool {
				return slices.ContainsFunc(cidrs[name], func(p netip.Prefix) bool { return p.Contains(netip.MustParseAddr(object)) })
			}
		}
		for _, object := range set.names {
			if !names(object) {
				t.Errorf("%s does not name %q", name, object)
			}
		}
		for _, object := range set.namesNone {
			if names(object) {
				t.Errorf("%s names %q", name, object)
			}
		}
	}
}

// cidrsOf returns the addresses of the sets of peers; each must be one address, at a port that is stated.
func cidrsOf(t *testing.T) map[string][]netip.Prefix {
	t.Helper()
	lib := evaluate(t, "package policy\n\nimport \"github.com/writ-sec/writ/policies\"\n\nlib: policies\n").LookupPath(cue.ParsePath("lib"))
	cidrs := map[string][]netip.Prefix{}
	for name, set := range sets {
		if set.field != neverEgress {
			continue
		}
		var peers map[string]struct {
			CIDR string `json:"cidr"`
			Port int    `json:"port"`
		}
		if err := lib.LookupPath(cue.ParsePath(name)).Decode(&peers); err != nil {
			t.Fatal(err)
		}
		for key, peer := range peers {
			p, err := netip.ParsePrefix(peer.CIDR)
			if err != nil || !p.IsSingleIP() || p != p.Masked() || peer.Port == 0 {
				t.Errorf("%s: %s: %+v, %v; want one address and a port", name, key, peer, err)
			}
			cidrs[name] = append(cidrs[name], p)
		}
	}
	return cidrs
}

// evaluate evaluates one file of a policy repository, with the embedded schema and library.
func evaluate(t *testing.T, text string) cue.Value {
	t.Helper()
	bc := build.NewContext()
	v := cuecontext.New().BuildInstance(instance(t, bc, "", map[string][]byte{"writ.cue": []byte(text)}))
	if err := v.Validate(cue.Concrete(true)); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return v
}

func instance(t *testing.T, bc *build.Context, importPath string, files map[string][]byte) *build.Instance {
	t.Helper()
	inst := bc.NewInstance(importPath, func(_ token.Pos, name string) *build.Instance {
		switch name {
		case ImportPath:
			return instance(t, bc, name, embedded(t, CUE))
		case schema.ImportPath:
			return instance(t, bc, name, embedded(t, schema.CUE))
		}
		return nil // CUE's standard library
	})
	inst.ImportPath = importPath
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := parser.ParseFile(name, files[name], parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if err := inst.AddSyntax(f); err != nil {
			t.Fatal(err)
		}
	}
	if err := inst.Complete(); err != nil {
		t.Fatal(err)
	}
	return inst
}

// embedded returns the CUE files of a folder by name.
func embedded(t *testing.T, dir fs.FS) map[string][]byte {
	t.Helper()
	names, err := fs.Glob(dir, "*.cue")
	if err != nil || len(names) == 0 {
		t.Fatalf("embedded files: %v, %v", names, err)
	}
	files := map[string][]byte{}
	for _, name := range names {
		if files[name], err = fs.ReadFile(dir, name); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// TestEmbed embeds each set into its field, beside an entry of the author's own, which it must not close out.
func TestEmbed(t *testing.T) {
	keys := parsed(t)
	var b strings.Builder
	fmt.Fprintf(&b, "package policy\n\nimport (\n\t%q\n\t%q\n)\n\nworkload: [string]: schema.#Workload\nbound: [string]: schema.#Bound\n\n", schema.ImportPath, ImportPath)
	at := map[string]string{}
	for name, set := range sets {
		own := "\"/opt/own\": {}"
		if set.field == neverEgress {
			own = "own: cidr: \"192.0.2.1/32\""
		}
		kind := "workload"
		if strings.HasPrefix(set.field, "never.") {
			kind = "bound"
		}
		at[name] = kind + "." + name + "." + set.field
		fmt.Fprintf(&b, "%s: %s: match: namespace: \"n\"\n%s: {policies.%s, %s}\n", kind, name, strings.ReplaceAll(at[name], ".", ": "), name, own)
	}
	v := evaluate(t, b.String())
	for name, set := range sets {
		want := append(slices.Clone(keys[name]), map[bool]string{true: "own", false: "/opt/own"}[set.field == neverEgress])
		var got []string
		fields, err := v.LookupPath(cue.ParsePath(at[name])).Fields()
		if err != nil {
			t.Fatal(err)
		}
		for fields.Next() {
			got = append(got, fields.Selector().Unquoted())
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s embedded has\n%q\nwant\n%q", name, got, want)
		}
	}
}

// TestNoRuleCovered holds that no pattern covers an exact path of its own set or of one for the same field, which would be reported to
// whoever embeds both.
func TestNoRuleCovered(t *testing.T) {
	keys := parsed(t)
	for name, set := range sets {
		for other, o := range sets {
			if set.field == neverEgress || o.field != set.field {
				continue
			}
			if strings.HasPrefix(set.field, "never.pod.") && name != other { // two lists for two levels
				continue
			}
			for _, key := range keys[name] {
				for _, pattern := range keys[other] {
					if pattern != key && !strings.Contains(key, "*") && matches(set.field, pattern, key) {
						t.Errorf("%q of %s covers %q of %s", pattern, other, key, name)
					}
				}
			}
		}
	}
}

// TestReadme holds the page against the library.
func TestReadme(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, keys := range parsed(t) {
		row := fmt.Sprintf("| `%s` | `%s` | %s |", name, sets[name].field, strconv.Itoa(len(keys)))
		if !strings.Contains(string(data), "\n"+row+" ") {
			t.Errorf("README.md lacks the row %s ...", row)
		}
	}
}

// TestDebian holds libc and caCertificates against what the packages of this machine have installed.
func TestDebian(t *testing.T) {
	dpkg := testneed.Binary(t, "dpkg-query", "it is part of Debian's dpkg; the paths of the library are held against Debian's packages")
	keys := parsed(t)
	for _, c := range []struct {
		name, pkg string
		want      func(file string) bool // of the package's files, those that the set must name
		least     int
	}{
		{"libc", "libc6", func(f string) bool {
			return strings.Contains(f, ".so") && !strings.Contains(f, "/share/") && !strings.Contains(f, "/doc/") && !strings.Contains(f, "ld.so.conf")
		}, 200},
		{"libc", "libc-bin", func(f string) bool { return strings.HasPrefix(f, "/usr/lib/locale/") }, 12},
		{"caCertificates", "ca-certificates", func(f string) bool { return strings.HasSuffix(f, ".crt") && !strings.Contains(f, "/doc/") }, 100},
	} {
		out, err := exec.Command(dpkg, "--listfiles", c.pkg).Output()
		if err != nil {
			testneed.Skip(t, "needs Debian's package "+c.pkg)
		}
		n := 0
		for file := range strings.FieldsSeq(string(out)) {
			info, err := os.Stat(file)
			if !c.want(file) || err != nil || info.IsDir() {
				continue
			}
			resolved, err := filepath.EvalSymlinks(file)
			if err != nil {
				t.Fatal(err)
			}
			n++
			for _, p := range []string{file, resolved} { // the package's path is the one of a layout that is not merged
				if strings.HasPrefix(p, "/lib64/") || strings.HasPrefix(p, "/usr/bin/") {
					continue // links to the loader
				}
				if !slices.ContainsFunc(keys[c.name], func(key string) bool { return schema.MatchPath(key, p) }) {
					t.Errorf("%s does not name %s of %s", c.name, p, c.pkg)
				}
			}
		}
		if n < c.least {
			t.Errorf("only %d files of %s were tried; want at least %d", n, c.pkg, c.least)
		}
	}
}
