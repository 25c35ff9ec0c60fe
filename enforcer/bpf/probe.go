// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/writ-sec/writ/enforcer/node/wire"
)

// Sentinels that the errors of Open wrap, for branching. The errors themselves say what to do.
var (
	ErrPrivilege   = errors.New("missing privilege")
	ErrUnsupported = errors.New("not supported by this kernel")
)

// variant is one way to hook exec. Its programs are named in the order in which they are attached.
type variant struct {
	name     string // begins the name of its pins
	backend  string
	programs []string
	tries    ebpf.ProgramSpec // what must load for the variant to work
}

var (
	variantLSM = variant{"lsm", "lsm", []string{"writ_fork", "writ_exec_lsm"},
		ebpf.ProgramSpec{Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: "bprm_check_security"}}
	variantPrepare = variant{"prepare", "tracing", []string{"writ_fork", "writ_exec_prepare"},
		ebpf.ProgramSpec{Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "sched_prepare_exec"}}
	variantDone = variant{"done", "tracing", []string{"writ_fork", "writ_exec_done"},
		ebpf.ProgramSpec{Type: ebpf.Tracing, AttachType: ebpf.AttachTraceRawTp, AttachTo: "sched_process_exec"}}

	variants = []variant{variantLSM, variantPrepare, variantDone} // the strongest first
)

// try loads a program of two instructions of the variant's type. The list of security modules is not asked: it does not tell whether
// a program may be loaded.
func (v variant) try() error {
	spec := v.tries
	spec.Instructions = asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()}
	spec.License = "GPL"
	p, err := ebpf.NewProgram(&spec)
	if err != nil {
		return err
	}
	if err := p.Close(); err != nil {
		return err
	}
	if v.backend == "lsm" {
		return tryLSM()
	}
	return nil
}

// tryLSM attaches a program to the hook for bpf(2), calls bpf(2) and sees whether the program ran. A kernel that has BPF LSM
// but did not switch it on at boot loads and attaches LSM programs, and never runs them.
func tryLSM() error {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return err
	}
	defer m.Close()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.LSM, AttachType: ebpf.AttachLSMMac, AttachTo: "bpf", License: "GPL",
		Instructions: asm.Instructions{
			asm.StoreImm(asm.RFP, -4, 0, asm.Word),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.LoadMapPtr(asm.R1, m.FD()),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "out"),
			asm.StoreImm(asm.R0, 0, 1, asm.Word),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
			asm.Return(),
		},
	})
	if err != nil {
		return err
	}
	defer p.Close()
	l, err := link.AttachLSM(link.LSMOptions{Program: p})
	if err != nil {
		return err
	}
	defer l.Close()
	var ran uint64
	for range 2 { // the first lookup triggers, the second sees
		if err := m.Lookup(uint32(0), &ran); err != nil {
			return err
		}
	}
	if ran == 0 {
		return errors.New("LSM programs load but do not run; add bpf to the kernel's lsm= boot parameter")
	}
	return nil
}

// choose returns the strongest variant of a backend ("": of any) that works here. why tells, for each stronger one, why it does not.
func choose(backend string) (v variant, why map[string]error, err error) {
	if backend != "" && backend != "lsm" && backend != "tracing" {
		return v, nil, fmt.Errorf("backend %q is not known; want \"lsm\", \"tracing\" or \"\" for the strongest", backend)
	}
	if err := basics(); err != nil {
		return v, nil, err
	}
	why = map[string]error{}
	for _, v := range variants {
		if backend != "" && v.backend != backend {
			continue
		}
		err := v.try()
		if err == nil {
			return v, why, nil
		}
		why[v.name] = err
	}
	var all []error
	for _, v := range variants {
		if why[v.name] != nil {
			all = append(all, fmt.Errorf("%s %s: %w", v.backend, v.tries.AttachTo, oneLine(why[v.name])))
		}
	}
	return v, why, fmt.Errorf("exec hook: %w: no backend loads; want a kernel of at least 6.1 with CONFIG_BPF_LSM or tracepoints: %w",
		ErrUnsupported, errors.Join(all...))
}

// basics checks what every backend needs, so that the errors are clear.
func basics() error {
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("exec hook: %w: /sys/kernel/btf/vmlinux does not exist; want a kernel with CONFIG_DEBUG_INFO_BTF=y, and sysfs mounted",
			ErrUnsupported)
	}
	if !hasSysAdmin() {
		return fmt.Errorf("exec hook: %w: CAP_SYS_ADMIN is not effective; run as root, in a container as privileged", ErrPrivilege)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("exec hook: %w: bpf(2) is refused; run as root in the host's user namespace: %w", ErrPrivilege, unix.EPERM)
	case err != nil:
		return fmt.Errorf("exec hook: %w: no BPF map can be made; want a kernel of at least 6.1 with CONFIG_BPF_SYSCALL: %w", ErrUnsupported, err)
	}
	return m.Close()
}

// hasSysAdmin reports whether the thread has CAP_SYS_ADMIN, which opening maps and programs by ID needs (kernel/bpf/syscall.c).
func hasSysAdmin() bool {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}

// oneLine cuts the verifier's log from an error.
func oneLine(err error) error {
	var ve *ebpf.VerifierError
	if errors.As(err, &ve) && ve.Cause != nil && len(ve.Log) > 0 {
		return fmt.Errorf("%w: %s", ve.Cause, lastWords(ve.Log))
	}
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("the kernel refuses to load it: %w", unix.EPERM) // without the library's advice on memory limits
	}
	return err
}

// lastWords returns the line in which a verifier's log says why: the last but its statistics.
func lastWords(log []string) string {
	for i := len(log) - 1; i >= 0; i-- {
		if line := strings.TrimSpace(log[i]); line != "" && !strings.HasPrefix(line, "processed ") {
			return line
		}
	}
	return ""
}

// Probe tells whether this kernel loads a backend ("": the strongest that it does) and what each part of the exec plane is worth there. A
// backend that does not load has the name "none", and each feature says why. It changes nothing.
func Probe(backend string) wire.Backend {
	b := wire.Backend{Name: "none", Kernel: release()}
	v, why, err := choose(backend)
	if err != nil {
		for _, name := range featureNames {
			b.Features = append(b.Features, wire.Feature{Name: name, Claim: wire.ClaimNone, Why: err.Error()})
		}
		return b
	}
	b.Name = v.backend
	b.Features = v.features(why)
	return b
}

// The parts of the exec plane, in the order in which they are shown.
const (
	featureProgram = "exec: program"
	featureScript  = "exec: script behind #!"
	featureParent  = "exec: parent"
	featureMount   = "exec: mount made inside the container"
	featureNoPath  = "exec: memfd and deleted programs"
)

var featureNames = []string{featureProgram, featureScript, featureParent, featureMount, featureNoPath}

func (v variant) features(why map[string]error) []wire.Feature {
	late := ""
	if v.backend == "tracing" {
		late = "the process is killed after the exec, before its first instruction"
		if why["lsm"] != nil { // unless this backend was asked for
			late += fmt.Sprintf("; BPF LSM does not work here: %v", oneLine(why["lsm"]))
		}
	}
	script := wire.Feature{Name: featureScript, Claim: wire.ClaimPrevent}
	if v.backend == "tracing" {
		script.Claim, script.Why = wire.ClaimNone, "only the interpreter is seen; the script is seen by BPF LSM alone"
	}
	parent := wire.Feature{Name: featureParent, Claim: wire.ClaimPrevent, Why: late}
	if v.name == variantDone.name {
		parent.Claim = wire.ClaimNone
		parent.Why = "the caller's program is not known here, so rules with a parent never allow; want a kernel of at least 6.10, or BPF LSM"
	}
	mount := wire.Feature{Name: featureMount, Claim: wire.ClaimPrevent, Why: late}
	if !hasUniqueMountIDs() {
		mount.Why = strings.TrimPrefix(late+"; ", "; ") +
			"this kernel does not number mounts, so after any change of the mounts only programs on the root mount can be allowed"
	}
	return []wire.Feature{
		{Name: featureProgram, Claim: wire.ClaimPrevent, Why: late}, script, parent, mount,
		{Name: featureNoPath, Claim: wire.ClaimPrevent, Why: late},
	}
}

// hasUniqueMountIDs reports whether struct mount has mnt_id_unique (Linux 6.8).
func hasUniqueMountIDs() bool {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return false
	}
	var s *btf.Struct
	if spec.TypeByName("mount", &s) != nil {
		return false
	}
	for _, m := range s.Members {
		if m.Name == "mnt_id_unique" {
			return true
		}
	}
	return false
}

func release() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	return unix.ByteSliceToString(u.Release[:])
}
