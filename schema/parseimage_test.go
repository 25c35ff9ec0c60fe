// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"strings"
	"testing"

	"github.com/writ-sec/writ/schema"
	"github.com/writ-sec/writ/schema/schematest"
)

func TestParseImage(t *testing.T) {
	for _, c := range schematest.References {
		got, err := schema.ParseImage(c.Ref)
		if want, fails := strings.CutPrefix(c.Want, "! "); fails {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("ParseImage(%.30q) = %v, %v; want error %q", c.Ref, got, err, want)
			}
			continue
		}
		if err != nil || got.String() != c.Want {
			t.Errorf("ParseImage(%q) = %q, %v; want %q", c.Ref, got, err, c.Want)
		}
		if again, err := schema.ParseImage(got.String()); err != nil || again != got {
			t.Errorf("ParseImage(%q) = %+v, %v; want %+v", got.String(), again, err, got)
		}
	}
}
