package chart

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var personaNames = []string{"viewer", "editor", "approver", "admin"}

// question is a verb on a resource.
type question struct{ verb, resource, subresource string }

// row of the table of docs/reference/roles.md: a persona may do it if it has all of the verbs.
type row struct {
	what string
	all  []question
	may  map[string]bool
}

var (
	codeWords      = regexp.MustCompile("`([a-z/]+)`")
	allKinds       = []string{"complianceexports", "datastores", "deletionruns", "erasurecertificates", "erasurerequests", "legalholds", "personaldatamaps", "retentionpolicies"}
	withoutObjects = []string{"accesslogs", "explanations", "ledgerentries"}
	governing      = []string{"datastores", "personaldatamaps", "retentionpolicies"}
)

// rows reads the table.
func rows(t *testing.T) []row {
	t.Helper()
	var out []row
	inTable := false
	for line := range strings.Lines(string(read(t, "docs/reference/roles.md"))) {
		columns := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range columns {
			columns[i] = strings.TrimSpace(columns[i])
		}
		switch {
		case len(columns) != 6:
			inTable = false
			continue
		case columns[5] == "verb, resource":
			inTable = true
			continue
		case !inTable || strings.HasPrefix(columns[0], "-"):
			continue
		}
		r := row{what: columns[0], all: questions(columns[0], columns[5]), may: map[string]bool{}}
		for i, persona := range personaNames {
			r.may[persona] = columns[i+1] == "yes"
		}
		out = append(out, r)
	}
	return out
}

// questions of a row: its last column names verbs and after them their resource; where it names none, the first column tells.
func questions(what, column string) (out []question) {
	var verbs []string
	ask := func(resource string) {
		name, sub, _ := strings.Cut(resource, "/")
		for _, verb := range verbs {
			out = append(out, question{verb, name, sub})
		}
	}
	for _, m := range codeWords.FindAllStringSubmatch(column, -1) {
		name, _, _ := strings.Cut(m[1], "/")
		if !slices.Contains(allKinds, name) && !slices.Contains(withoutObjects, name) {
			verbs = append(verbs, m[1])
			continue
		}
		ask(m[1])
		verbs = nil
	}
	if len(verbs) > 0 {
		resources := allKinds
		if strings.HasPrefix(what, "configure") {
			resources = governing
		}
		for _, resource := range resources {
			ask(resource)
		}
	}
	return out
}
