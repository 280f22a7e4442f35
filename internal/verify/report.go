// Package verify checks what Lethe hands out to be checked: certificates of erasure, exports, whole ledgers, and whether one
// checkpoint continues another. It needs files and the ledger's public key, nothing else.
package verify

import (
	"fmt"
	"io"
	"strings"
)

// Results of a check.
const (
	Passed     = "Passed"
	Failed     = "Failed"
	NotChecked = "NotChecked"
)

// Report is what was checked and what came of it.
type Report struct {
	// Kind is Certificate, Export, Ledger or Consistency.
	Kind     string `json:"kind"`
	Verified bool   `json:"verified"`
	// Problem says why it was refused.
	Problem string `json:"problem,omitempty"`
	// Facts are what it says; none where it was refused.
	Facts  []Fact  `json:"facts,omitempty"`
	Checks []Check `json:"checks"`
	// Meaning says what a success proves, and what it does not.
	Meaning []string `json:"meaning,omitempty"`
}

// Fact is something that the verified text says.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Check is one of the checks.
type Check struct {
	Check  string `json:"check"`
	Result string `json:"result"`
	Detail string `json:"detail,omitempty"`
}

// Refused is the report on something that is not even of the form that it should have.
func Refused(kind string, err error) *Report {
	r := &Report{Kind: kind}
	r.try("The file has the form that it should have", err, "")
	return r
}

// try notes the result of a check and tells whether it passed.
func (r *Report) try(check string, err error, detail string) bool {
	if err != nil {
		r.Problem, r.Facts = err.Error(), nil // what was refused is not repeated
		r.Checks = append(r.Checks, Check{check, Failed, err.Error()})
		return false
	}
	r.Checks = append(r.Checks, Check{check, Passed, detail})
	return true
}

func (r *Report) skip(check, why string) {
	r.Checks = append(r.Checks, Check{check, NotChecked, why})
}

func (r *Report) fact(name, value string) {
	if value != "" {
		r.Facts = append(r.Facts, Fact{name, value})
	}
}

var titles = map[string]string{"Certificate": "Certificate of erasure", "Export": "Compliance export", "Ledger": "Ledger", "Consistency": "Consistency of two checkpoints"}

var marks = map[string]string{Passed: "[passed]     ", Failed: "[FAILED]     ", NotChecked: "[not checked]"}

// Text writes the report for a reader.
func (r *Report) Text(to io.Writer) error {
	var out strings.Builder
	verdict := "VERIFIED"
	if !r.Verified {
		verdict = "REFUSED"
	}
	fmt.Fprintf(&out, "%s: %s\n", titles[r.Kind], verdict)
	if r.Problem != "" {
		fmt.Fprintf(&out, "\n  %s\n", r.Problem)
	}
	out.WriteString("\nWhat was checked\n")
	for _, c := range r.Checks {
		fmt.Fprintf(&out, "  %s %s\n", marks[c.Result], c.Check)
		if c.Detail != "" && c.Result != Failed {
			fmt.Fprintf(&out, "                %s\n", c.Detail)
		}
	}
	if r.Verified {
		out.WriteString("\nWhat it says\n")
		for _, f := range r.Facts {
			fmt.Fprintf(&out, "  %-18s %s\n", f.Name, f.Value)
		}
		out.WriteString("\nWhat this means\n")
		for _, m := range r.Meaning {
			fmt.Fprintf(&out, "  - %s\n", m)
		}
	}
	_, err := io.WriteString(to, out.String())
	return err
}
