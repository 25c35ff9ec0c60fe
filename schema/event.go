// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Path is a path as the kernel holds it: bytes, not characters.
// Its JSON form is a string, or {"base64": "…"} for bytes that are not UTF-8.
type Path string

// MarshalJSON implements [json.Marshaler].
func (p Path) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(p)) {
		return json.Marshal(string(p))
	}
	return json.Marshal(map[string][]byte{"base64": []byte(p)})
}

// UnmarshalJSON implements [json.Unmarshaler].
func (p *Path) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '{' {
		var v struct {
			Base64 []byte `json:"base64"`
		}
		if err := json.Unmarshal(data, &v); err != nil {
			return fmt.Errorf("path: %w", err)
		}
		*p = Path(v.Base64)
		return nil
	}
	return json.Unmarshal(data, (*string)(p))
}

// Origin tells how the program or file of an event was reached. Only [OriginPath] has a path that a rule can allow.
type Origin string

// The origins.
const (
	OriginPath    Origin = ""         // through the container's own mounts; Object is its path
	OriginMemfd   Origin = "memfd"    // a file that never had a name, as memfd_create(2) makes it
	OriginDeleted Origin = "deleted"  // the file's last seen name is removed; Object is that name
	OriginForeign Origin = "foreign"  // through a mount or root made inside the container
	OriginTooLong Origin = "too-long" // the path has more than 4,095 bytes
	OriginUnknown Origin = "unknown"  // the enforcer could not find out
)

// Event is one thing that a container did or wants to do. Which fields are read depends on the verb.
type Event struct {
	Subject Subject `json:"subject"`
	Verb    Verb    `json:"verb"`
	Object  Path    `json:"object"` // the path of a program or file, the capability, or the image reference; of a Pod and a flow nothing
	Origin  Origin  `json:"origin,omitempty"`
	Parent  Path    `json:"parent,omitempty"` // exec: path of the program that the caller ran; "" if not known
	Flow    *Flow   `json:"flow,omitempty"`   // connect, accept, request, serve
	// SignedBy and Passes are, for run, the signers of the policy that signed the image, and the gates that it passes. What is not listed is
	// not known to hold, and so does not.
	SignedBy Names `json:"signedBy,omitempty"`
	Passes   Names `json:"passes,omitempty"`
	// Set holds, for set, the values that a Pod's fields have in effect, over all its containers; see [PodField]. A field without values
	// violates nothing.
	Set map[PodField]Names `json:"set,omitempty"`
}

// Flow is a connection, seen from the subject. Connections over loopback in the same network namespace, and unix sockets, are no events.
type Flow struct {
	Peer     Subject    `json:"peer,omitzero"`      // the other end's identity, as far as it is known
	Address  netip.Addr `json:"address,omitzero"`   // the other end's; the zero Addr is not known. IPv4-mapped IPv6 is IPv4
	Names    Names      `json:"names,omitempty"`    // every name that led to the address
	Unknown  bool       `json:"unknown,omitempty"`  // the address is a Pod's, and nobody knows which
	Probe    bool       `json:"probe,omitempty"`    // accept: a probe by the kubelet of the own node
	Port     int        `json:"port"`               // of the receiver's container, 0 to 65535
	PortName string     `json:"portName,omitempty"` // that port's name in the receiver's Pod, if it has one
	Protocol string     `json:"protocol"`           // "tcp", "udp" or "sctp"
	HTTP     *Request   `json:"http,omitempty"`     // of a request over HTTP
	GRPC     string     `json:"grpc,omitempty"`     // of a call: "package.Service/Method"
	TLS      string     `json:"tls,omitempty"`      // the server name of a TLS handshake; "" is none was seen
	Secure   bool       `json:"secure,omitempty"`   // a TLS handshake was seen, perhaps without a server name
}

// Request is the head of an HTTP request.
type Request struct {
	Method string `json:"method"`
	Path   string `json:"path"` // as sent, with or without a query
	Host   string `json:"host,omitempty"`
}

// Report is what an enforcer says of an event: the line that writ-node prints, and the evidence that learning folds.
// Reports with the same ID are the same behaviour.
type Report struct {
	ID string `json:"id"` // 16 hexadecimal digits, see [NewReportID]
	Event
	Verdict Verdict   `json:"verdict"`
	Count   uint64    `json:"count"`          // how often since the last report of the same ID; at least 1
	First   time.Time `json:"first"`          // of these Count times, UTC
	Last    time.Time `json:"last"`           // of these Count times, UTC
	PID     int       `json:"pid,omitempty"`  // of the first of these, in the host's PID namespace
	PPID    int       `json:"ppid,omitempty"` // the parent process of PID
	UID     uint32    `json:"uid"`            // real user ID of PID, in the host's user namespace
}

// NewReportID names a behaviour: the workloads it was judged under, what was done, by which program, and the verdict. Of a connection it is
// the other end, port and protocol, and what was asked: an other end that is known is named by what it is, however often its address
// changes; else by the names that led to its address; else by the address. Of a Pod it is what is set.
func NewReportID(e Event, v Verdict) string {
	fields := []string{"report", string(e.Verb), string(e.Object), string(e.Origin), string(e.Parent), string(v.Action)}
	fields = append(fields, v.Workloads...)
	if e.Flow != nil {
		fields = append(fields, "", "flow") // no workload is called ""
		fields = append(fields, e.Flow.behaviour()...)
	}
	if e.Set != nil {
		fields = append(fields, "", "set")
		for _, field := range slices.Sorted(maps.Keys(e.Set)) {
			fields = append(fields, string(field), strings.Join(e.Set[field], "\x01"))
		}
	}
	return NewRuleID(fields...).String()
}

// passing are labels that controllers put on each generation of Pods or on each single one. They do not tell behaviours apart.
var passing = []string{
	"pod-template-hash", "controller-revision-hash", "pod-template-generation", "controller-uid", "batch.kubernetes.io/controller-uid", "job-name",
	"batch.kubernetes.io/job-name", "batch.kubernetes.io/job-completion-index", "statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index",
}

// behaviour returns what makes two connections the same behaviour. Its length is fixed, so that no two of them read the same.
func (f *Flow) behaviour() []string {
	request := f.HTTP
	if request == nil {
		request = &Request{}
	}
	path, _, _ := strings.Cut(request.Path, "?")
	return []string{
		f.end(), strconv.Itoa(f.Port), f.Protocol, strconv.FormatBool(f.Probe),
		request.Method, request.Host, path, f.GRPC, f.TLS, strconv.FormatBool(f.Secure),
	}
}

// end names the other end.
func (f *Flow) end() string {
	p := f.Peer
	switch {
	case !f.Unknown && p.pod():
		labels := []string{"pod", p.Namespace}
		for _, k := range slices.Sorted(maps.Keys(p.Labels)) {
			if !slices.Contains(passing, k) {
				labels = append(labels, k+"="+p.Labels[k])
			}
		}
		return strings.Join(labels, "\x01")
	case !f.Unknown && p.Known():
		return strings.Join([]string{"process", p.Container, p.Cgroup, strconv.FormatBool(p.Host)}, "\x01")
	case len(f.Names) > 0:
		return "names\x01" + strings.Join(f.Names, "\x01")
	}
	return "address\x01" + f.Address.Unmap().String()
}
