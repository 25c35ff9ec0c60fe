// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package admission

import (
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
)

// TestGlance holds that pod.rego's glance looks at each field of which a level of the Pod Security Standards speaks: one more must be added there.
func TestGlance(t *testing.T) {
	const seen = "addCapabilities allowPrivilegeEscalation appArmor dropCapabilities hostIPC hostNetwork hostPID hostPaths hostPorts hostProcess privileged " +
		"probeHosts procMount rootAllowed rootUser seLinuxType seLinuxUserRole seccomp sysctls volumes"
	var got []string
	for _, r := range schema.ProfileRules("restricted") {
		got = append(got, r.Object)
	}
	if strings.Join(got, " ") != seen {
		t.Errorf("restricted speaks of %v; the glance sees %s", got, seen)
	}
	for _, r := range schema.ProfileRules("baseline") {
		if !strings.Contains(" "+seen+" ", " "+r.Object+" ") {
			t.Errorf("baseline speaks of %s", r.Object)
		}
	}
}
