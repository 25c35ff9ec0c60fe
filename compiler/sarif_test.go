// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package compiler

import (
	"bytes"
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/writ-sec/writ/schema"
)

// sarifObject says, of an object of SARIF 2.1.0, which properties are required and which others we write. The names are those of the standard.
type sarifObject struct{ required, optional []string }

// sarifObjects are the parts of the OASIS schema that we write, by a name of our own for where they stand.
var sarifObjects = map[string]sarifObject{
	"log":              {[]string{"version", "runs"}, []string{"$schema"}},
	"run":              {[]string{"tool"}, []string{"columnKind", "results"}},
	"tool":             {[]string{"driver"}, nil},
	"driver":           {[]string{"name"}, []string{"version", "semanticVersion", "informationUri", "rules"}},
	"rule":             {[]string{"id"}, []string{"shortDescription", "fullDescription", "help", "defaultConfiguration"}},
	"message":          {[]string{"text"}, nil},
	"configuration":    {nil, []string{"level"}},
	"result":           {[]string{"message"}, []string{"ruleId", "ruleIndex", "level", "locations", "partialFingerprints", "suppressions"}},
	"location":         {nil, []string{"physicalLocation"}},
	"physicalLocation": {[]string{"artifactLocation"}, []string{"region", "contextRegion"}},
	"artifactLocation": {nil, []string{"uri"}},
	"region":           {[]string{"startLine"}, []string{"startColumn", "snippet"}},
	"suppression":      {[]string{"kind"}, []string{"justification"}},
}

// kindsOf says of which kind the properties of an object are.
var kindsOf = map[string]string{
	"runs": "run", "tool": "tool", "driver": "driver", "rules": "rule", "shortDescription": "message", "fullDescription": "message", "help": "message",
	"defaultConfiguration": "configuration", "results": "result", "message": "message", "locations": "location", "physicalLocation": "physicalLocation",
	"artifactLocation": "artifactLocation", "region": "region", "contextRegion": "region", "snippet": "message", "suppressions": "suppression",
}

// checkSARIF walks a log and holds each object against its kind.
func checkSARIF(t *testing.T, kind string, v any) {
	t.Helper()
	m, ok := v.(map[string]any)
	if !ok {
		t.Fatalf("%s is %T; want an object", kind, v)
	}
	want := sarifObjects[kind]
	for _, name := range want.required {
		if _, ok := m[name]; !ok {
			t.Errorf("%s lacks %q", kind, name)
		}
	}
	for name, value := range m {
		if !slices.Contains(want.required, name) && !slices.Contains(want.optional, name) {
			t.Errorf("%s has the property %q, which SARIF does not know there", kind, name)
		}
		sub := kindsOf[name]
		switch value := value.(type) {
		case []any:
			for _, each := range value {
				checkSARIF(t, sub, each)
			}
		case map[string]any:
			if sub != "" {
				checkSARIF(t, sub, value)
			}
		}
	}
}

// referenceRE is what RFC 3986 lets stand in a relative reference without a query.
var referenceRE = regexp.MustCompile(`^(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2})+$`)

func renderSARIF(t *testing.T, r Report) sarifLog {
	t.Helper()
	var b bytes.Buffer
	if err := RenderSARIF(&b, r); err != nil {
		t.Fatal(err)
	}
	var tree any
	if err := json.Unmarshal(b.Bytes(), &tree); err != nil {
		t.Fatal(err)
	}
	checkSARIF(t, "log", tree)
	var log sarifLog
	if err := json.Unmarshal(b.Bytes(), &log); err != nil {
		t.Fatal(err)
	}
	return log
}

func TestSARIF(t *testing.T) {
	const source = "\texec: {\"/😀ä\": {}, \"bin/x\": {}}"
	report := Report{Version: "v1.2.3",
		Errors: []Diagnostic{
			{Path: "repository", Msg: "holds no policy"},
			{Pos: schema.Pos{File: "a b/ö%#?.cue"}, Msg: "is a symbolic link"},
			{Pos: schema.Pos{File: "a:b.cue", Line: 3, Col: strings.Index(source, `"bin`) + 1}, Path: "workload w", Msg: "[x](https://example.com) is \x1b bad", Hint: "do it", Source: source},
		},
		Warnings: []Diagnostic{{Pos: schema.Pos{File: "w.cue", Line: 1, Col: 1}, Msg: "m", Code: codeNothing},
			{Pos: schema.Pos{File: "w.cue", Line: 2, Col: 7}, Msg: "m", Code: "W999"}},
		Silenced: []Silenced{{Diagnostic{Pos: schema.Pos{File: "w.cue", Line: 9, Col: 2}, Msg: "m", Code: codeNothing, Source: "\xff\tx"}, "so\nit is"}},
	}
	log := renderSARIF(t, report)
	if log.Version != "2.1.0" || len(log.Runs) != 1 || log.Runs[0].ColumnKind != "utf16CodeUnits" {
		t.Fatalf("log is %+v", log)
	}
	run := log.Runs[0]
	if d := run.Tool.Driver; d.Name != "writ" || d.Version != "v1.2.3" || d.SemanticVersion != "1.2.3" {
		t.Errorf("driver is %+v", d)
	}
	for i, r := range run.Tool.Driver.Rules {
		if r.ShortDescription.Text == "" || r.FullDescription.Text == "" || r.Help.Text == "" {
			t.Errorf("rule %s has no text", r.ID)
		}
		if i > 0 && run.Tool.Driver.Rules[i-1].ID >= r.ID {
			t.Errorf("rules are not sorted: %s", r.ID)
		}
	}
	fingerprints := map[string]bool{}
	for _, r := range run.Results {
		if r.RuleIndex < 0 || run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID {
			t.Errorf("result of %s has the rule index %d", r.RuleID, r.RuleIndex)
		}
		if want := map[bool]string{true: "error", false: "warning"}[r.RuleID == errorRule]; r.Level != want {
			t.Errorf("result of %s has level %q; want %q", r.RuleID, r.Level, want)
		}
		fingerprints[r.PartialFingerprints[fingerprintKey]] = true
		for _, l := range r.Locations {
			uri := l.PhysicalLocation.ArtifactLocation.URI
			if u, err := url.Parse(uri); err != nil || u.IsAbs() || u.RawQuery != "" || u.Fragment != "" || !referenceRE.MatchString(uri) {
				t.Errorf("%q is not a relative reference to a path: %v", uri, err)
			}
		}
	}
	if len(fingerprints) != len(run.Results) {
		t.Errorf("%d fingerprints of %d results", len(fingerprints), len(run.Results))
	}
	checkResults(t, run.Results, source)
}

func checkResults(t *testing.T, results []sarifResult, source string) {
	t.Helper()
	if len(results[0].Locations) != 0 {
		t.Errorf("what concerns the repository has a location: %+v", results[0])
	}
	file := results[1].Locations[0].PhysicalLocation
	if file.ArtifactLocation.URI != "a%20b/%C3%B6%25%23%3F.cue" || file.Region != nil {
		t.Errorf("location of a file is %+v", file)
	}
	line := results[2].Locations[0].PhysicalLocation
	if line.ArtifactLocation.URI != "./a:b.cue" {
		t.Errorf("URI is %q; a colon in the first segment makes a scheme", line.ArtifactLocation.URI)
	}
	units := utf16.Encode([]rune(source))
	if got := string(utf16.Decode(units[line.Region.StartColumn-1:])); line.Region.StartLine != 3 || !strings.HasPrefix(got, `"bin/x"`) {
		t.Errorf("region %+v begins at %q", *line.Region, got)
	}
	if line.ContextRegion.Snippet.Text != source {
		t.Errorf("context is %q", line.ContextRegion.Snippet.Text)
	}
	if got := results[2].Message.Text; strings.Contains(got, "](") || strings.ContainsRune(got, '\x1b') || !strings.HasSuffix(got, "\nhint: do it") {
		t.Errorf("message is %q", got)
	}
	if r := results[4].Locations[0].PhysicalLocation.Region; r.StartLine != 2 || r.StartColumn != 1 {
		t.Errorf("region without its line is %+v", *r) // the column cannot be converted
	}
	silenced := results[5]
	if len(silenced.Suppressions) != 1 || silenced.Suppressions[0].Kind != "inSource" || silenced.Suppressions[0].Justification != `so\nit is` {
		t.Errorf("suppressions are %+v", silenced.Suppressions)
	}
	if c := silenced.Locations[0].PhysicalLocation.Region.StartColumn; c != 2 {
		t.Errorf("column after a byte that is no character is %d; want 2", c)
	}
}

// A fingerprint is of what is wrong, not of where it stands today.
func TestSARIFFingerprints(t *testing.T) {
	at := func(line int, msg string) Diagnostic {
		return Diagnostic{Pos: schema.Pos{File: "a.cue", Line: line, Col: 1}, Path: "workload w", Msg: msg}
	}
	print := func(ds ...Diagnostic) (all []string) {
		for _, r := range renderSARIF(t, Report{Errors: ds}).Runs[0].Results {
			all = append(all, r.PartialFingerprints[fingerprintKey])
		}
		return all
	}
	first := print(at(1, "conflicts with b.cue:3:4"))[0]
	if moved := print(at(7, "conflicts with b.cue:9:4"))[0]; moved != first {
		t.Errorf("moved lines change the fingerprint from %s to %s", first, moved)
	}
	if other := print(at(1, "conflicts with c.cue:3:4"))[0]; other == first {
		t.Error("another message has the same fingerprint")
	}
	if twice := print(at(1, "m"), at(2, "m")); twice[0] == twice[1] {
		t.Error("the same finding on two lines has one fingerprint")
	}
}

// Every code that a warning can have is explained where a code host shows it.
func TestWarningHelp(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]bool{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`= "(W[0-9]{3})"`).FindAllStringSubmatch(string(data), -1) {
			codes[m[1]] = true
		}
	}
	if len(codes) == 0 {
		t.Fatal("found no code")
	}
	for code := range codes {
		if warningHelp[code].short == "" || warningHelp[code].help == "" {
			t.Errorf("%s is not in warningHelp: say what it means and what to do", code)
		}
	}
}

func TestRenderGitHub(t *testing.T) {
	for _, c := range []struct {
		d    Diagnostic
		want string
	}{
		{Diagnostic{Path: "repository", Msg: "holds no policy"}, "::error title=writ::repository: holds no policy"},
		{Diagnostic{Pos: schema.Pos{File: "a.cue"}, Msg: "m"}, "::error file=a.cue,title=writ::m"},
		{Diagnostic{Pos: schema.Pos{File: "a,b:c%.cue", Line: 2, Col: 5}, Msg: "50% of a,b:c", Source: "ä: x"}, // 5 is beyond "ä:", in bytes
			"::error file=a%2Cb%3Ac%25.cue,line=2,col=4,title=writ::50%25 of a,b:c"},
		{Diagnostic{Pos: schema.Pos{File: "a.cue", Line: 2, Col: 1}, Msg: "m", Code: "W001", Hint: "h"}, "::warning file=a.cue,line=2,col=1,title=writ W001::m%0Ahint: h"},
		{Diagnostic{Pos: schema.Pos{File: "a\n::error::x.cue"}, Msg: "a\r\n::stop-commands::x"}, `::error file=a%0A%3A%3Aerror%3A%3Ax.cue,title=writ::a\r\n::stop-commands::x`},
	} {
		var b strings.Builder
		RenderGitHub(&b, []Diagnostic{c.d})
		if b.String() != c.want+"\n" {
			t.Errorf("%+v\ngot  %q\nwant %q", c.d, b.String(), c.want+"\n")
		}
	}
}

// FuzzRenderers holds that no text of an author breaks a form.
func FuzzRenderers(f *testing.F) {
	f.Add("a.cue", 1, 3, "msg", "source")
	f.Add(hostile, -1, 1<<40, hostile, hostile)
	f.Fuzz(func(t *testing.T, file string, line, col int, msg, source string) {
		d := Diagnostic{Pos: schema.Pos{File: file, Line: line, Col: col}, Msg: msg, Hint: source, Source: source}
		log := renderSARIF(t, Report{Errors: []Diagnostic{d}})
		for _, l := range log.Runs[0].Results[0].Locations {
			if u := l.PhysicalLocation.ArtifactLocation.URI; !referenceRE.MatchString(u) {
				t.Errorf("URI is %q", u)
			}
			if r := l.PhysicalLocation.Region; r != nil && (r.StartLine < 1 || r.StartColumn < 0) {
				t.Errorf("region is %+v", *r)
			}
		}
		var b strings.Builder
		RenderGitHub(&b, []Diagnostic{d})
		if got := b.String(); strings.Count(got, "\n") != 1 || strings.Contains(got, "\r") || !strings.HasPrefix(got, "::error ") {
			t.Errorf("command is %q", got)
		}
	})
}
