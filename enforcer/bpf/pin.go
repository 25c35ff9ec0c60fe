// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// pinDirs matches the folders that this package makes below Config.PinDir: a variant, and what identifies the code.
var pinDirs = regexp.MustCompile(`^(lsm|prepare|done)-[0-9a-f]{16}$`)

// linkPin begins the names of pinned links; all other pins are maps, under their names.
const linkPin = "link_"

// build names the code of a variant. Pins are adopted by the very same code only, so the layout of maps has no version of its own.
func (v variant) build() string {
	sum := sha256.Sum256(append([]byte(v.name+"\x00"), _ExecBytes...))
	return fmt.Sprintf("%s-%x", v.name, sum[:8])
}

// Open puts the hooks in force. If the same code is pinned below Config.PinDir it adopts the pins: programs, bindings and links stay as they
// are. Otherwise it attaches new links and leaves those of other versions in force beside them, until [Kernel.Retire]; what either
// denies is denied. With new links no program is in force yet and nothing is bound.
func Open(cfg Config) (*Kernel, error) {
	if cfg.PinDir == "" {
		return nil, errors.New("pin directory: none given; want a directory on a bpffs, such as /sys/fs/bpf/writ")
	}
	v, _, err := choose(cfg.Backend)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(cfg.PinDir)
	if err != nil {
		return nil, err
	}
	k := &Kernel{
		variant: v, root: cfg.PinDir, dir: filepath.Join(cfg.PinDir, v.build()), lock: lock,
		window: cfg.FoldWindow, maps: map[string]*ebpf.Map{}, unread: map[string]uint64{},
	}
	if k.window <= 0 {
		k.window = defaultFoldWindow
	}
	if err := k.open(cfg.RingSize); err != nil {
		return nil, errors.Join(err, k.Close())
	}
	return k, nil
}

// lockDir makes the directory and takes the lock that keeps a second agent away from it.
func lockDir(dir string) (*os.File, error) {
	var st unix.Statfs_t
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		err := unix.Statfs(at, &st)
		if errors.Is(err, unix.ENOENT) && at != "/" && at != "." {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("pin directory %q: %w", dir, err)
		}
		break
	}
	if st.Type != unix.BPF_FS_MAGIC {
		return nil, fmt.Errorf("pin directory %q: is not on a bpffs; want one mounted there: mount -t bpf bpf /sys/fs/bpf", dir)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("pin directory: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("pin directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("pin directory %q: another process has it open; want one agent for each: %w", dir, err), f.Close())
	}
	return f, nil
}

func (k *Kernel) open(ring int) error {
	if err := os.Mkdir(k.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("pin directory: %w", err)
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(_ExecBytes))
	if err != nil {
		return fmt.Errorf("exec hook: read the embedded object: %w", err)
	}
	if ring == 0 {
		ring = defaultRingSize
	}
	spec.Maps["events"].MaxEntries = uint32(ring)
	missing, err := k.adopt(spec)
	if err != nil {
		return err
	}
	k.adopted = len(missing) == 0
	if !k.adopted {
		if err := k.attach(spec, missing); err != nil {
			return err
		}
	}
	var set [8]byte
	if err := k.maps["settings"].Lookup(uint32(0), &set); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	k.level = binary.LittleEndian.Uint32(set[:])
	return nil
}

// adopt opens what is pinned and returns the names of programs whose link is not.
func (k *Kernel) adopt(spec *ebpf.CollectionSpec) (missing []string, err error) {
	complete := true
	for name := range spec.Maps {
		m, err := ebpf.LoadPinnedMap(filepath.Join(k.dir, name), nil)
		if errors.Is(err, fs.ErrNotExist) {
			complete = false
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("pinned map %q in %q: %w", name, k.dir, err)
		}
		k.maps[name] = m
	}
	if !complete { // an earlier Open ended halfway, before any link: links are pinned last
		k.closeMaps()
		if err := removePins(k.dir, false); err != nil {
			return nil, err
		}
		return k.variant.programs, nil
	}
	for _, name := range k.variant.programs {
		err := k.adoptLink(name)
		if errors.Is(err, fs.ErrNotExist) {
			missing = append(missing, name)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("pinned link of %q in %q: %w", name, k.dir, err)
		}
	}
	return missing, nil
}

func (k *Kernel) closeMaps() {
	for _, m := range k.maps {
		m.Close()
	}
	k.maps = map[string]*ebpf.Map{}
}

func (k *Kernel) adoptLink(name string) error {
	l, err := link.LoadPinnedLink(filepath.Join(k.dir, linkPin+name), nil)
	if err != nil {
		return err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return err
	}
	p, err := ebpf.NewProgramFromID(info.Program)
	if err != nil {
		return err
	}
	k.execs = append(k.execs, p)
	return nil
}

// attach loads the programs that are not in force, on the maps that are pinned or on new ones, attaches them and pins all.
func (k *Kernel) attach(spec *ebpf.CollectionSpec, missing []string) error {
	for name := range spec.Programs {
		if !slices.Contains(missing, name) {
			delete(spec.Programs, name)
		}
	}
	c, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: k.maps})
	if err != nil {
		return fmt.Errorf("exec hook %s: the kernel refuses it: %w", strings.Join(missing, ", "), oneLine(err))
	}
	defer c.Close()
	for name := range spec.Maps {
		if k.maps[name] != nil {
			continue
		}
		k.maps[name] = c.DetachMap(name)
		if err := k.maps[name].Pin(filepath.Join(k.dir, name)); err != nil {
			return fmt.Errorf("map %q: pin: %w", name, err)
		}
	}
	for _, name := range missing {
		if err := k.attachOne(name, c.Programs[name]); err != nil {
			return err
		}
		k.execs = append(k.execs, c.DetachProgram(name))
	}
	return nil
}

func (k *Kernel) attachOne(name string, p *ebpf.Program) error {
	var l link.Link
	var err error
	if p.Type() == ebpf.LSM {
		l, err = link.AttachLSM(link.LSMOptions{Program: p})
	} else {
		l, err = link.AttachTracing(link.TracingOptions{Program: p})
	}
	if err != nil {
		return fmt.Errorf("exec hook %s: attach: %w", name, err)
	}
	defer l.Close()
	if err := l.Pin(filepath.Join(k.dir, linkPin+name)); err != nil {
		return fmt.Errorf("exec hook %s: pin the link: %w", name, err)
	}
	return nil
}

// Retire takes what other versions of this package left pinned out of force. Call it once the programs and bindings are in place here.
func (k *Kernel) Retire() error {
	return k.remove(func(dir string) bool { return dir != k.dir })
}

// Unload takes everything out of force that this package pinned below Config.PinDir, and closes the Kernel. The directory itself is removed if
// it is empty then.
func (k *Kernel) Unload() error {
	for _, p := range k.execs {
		if err := p.Close(); err != nil {
			return fmt.Errorf("exec hook: %w", err)
		}
	}
	k.execs = nil
	err := k.remove(func(string) bool { return true })
	if err == nil {
		if e := os.Remove(k.root); e != nil && !errors.Is(e, unix.ENOTEMPTY) && !errors.Is(e, unix.EBUSY) && !errors.Is(e, unix.EPERM) {
			err = fmt.Errorf("pin directory: %w", e)
		}
	}
	return errors.Join(err, k.Close())
}

func (k *Kernel) remove(which func(dir string) bool) error {
	entries, err := os.ReadDir(k.root)
	if err != nil {
		return fmt.Errorf("pin directory: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if dir := filepath.Join(k.root, e.Name()); e.IsDir() && pinDirs.MatchString(e.Name()) && which(dir) {
			errs = append(errs, removePins(dir, true))
		}
	}
	return errors.Join(errs...)
}

// removePins removes links first, the exec hooks before the fork hook, so that none runs on half of its maps. It returns when the hooks
// are out of force, which is a moment after their pins are gone.
func removePins(dir string, self bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("pin directory: %w", err)
	}
	slices.SortStableFunc(entries, func(a, b fs.DirEntry) int { return pinRank(a.Name()) - pinRank(b.Name()) })
	var errs []error
	var hooks []ebpf.ProgramID
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), linkPin) {
			if id, err := hookID(path); err == nil {
				hooks = append(hooks, id)
			}
		}
		errs = append(errs, os.Remove(path))
	}
	if self {
		errs = append(errs, os.Remove(dir))
	}
	for _, id := range hooks {
		errs = append(errs, waitGone(id))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("pin directory: remove pins: %w", err)
	}
	return nil
}

func pinRank(name string) int {
	switch {
	case strings.HasPrefix(name, linkPin+"writ_exec"):
		return 0
	case strings.HasPrefix(name, linkPin):
		return 1
	}
	return 2
}

// hookID returns the program of a pinned link.
func hookID(path string) (ebpf.ProgramID, error) {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return 0, err
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return 0, err
	}
	return info.Program, nil
}

// waitGone waits until the kernel has freed a program, which it does some time after it has detached it. The link's own number is no proof: it
// is free before the program is detached (bpf_link_free in kernel/bpf/syscall.c).
func waitGone(id ebpf.ProgramID) error {
	for range 500 {
		p, err := ebpf.NewProgramFromID(id)
		if errors.Is(err, os.ErrNotExist) {
			return nil
		} else if err != nil {
			return fmt.Errorf("hook %d: wait for its end: %w", id, err)
		}
		if err := p.Close(); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("hook %d: exists 5 s after its pin was removed; another process holds it: see bpftool prog show id %d", id, id)
}
