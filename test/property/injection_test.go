package property

import (
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

// Attacks in the place of every text of a map, an identities' Secret and a row are data: with names of tables, conditions,
// scopes of tenants, constants, members of documents, names of files, objects and keys that are attacks the same is erased as
// ever, and nothing else.
func TestAttacksAreData(t *testing.T) {
	defer fewerChecks(t, 60)()
	for _, engine := range []string{"postgresql", "sqlite", "mariadb"} {
		t.Run(engine, func(t *testing.T) {
			erased := 0
			for some := range slices.Chunk(backendtest.Attacks, 16) {
				restore := replacePools(some)
				rapid.Check(t, func(rt *rapid.T) {
					if problem, found := runCase(rt, drawAttacked(rt, engine, some), map[string]int{}); problem == "" && found {
						erased++
					}
				})
				restore()
			}
			if erased < len(backendtest.Attacks)/16 {
				t.Errorf("only %d subjects were erased", erased)
			}
		})
	}
}

// drawAttacked is a world with attacks where the pools do not reach.
func drawAttacked(t *rapid.T, engine string, attacks []string) *world {
	w := drawWorld(t, []string{engine})
	for _, tb := range w.tables {
		e := &tb.entity
		e.Category, e.LegalBasis = pick(t, attacks, "category"), pick(t, attacks, "legal basis")
		for i := range e.Holds {
			e.Holds[i].LegalBasis = pick(t, attacks, "legal basis of a hold")
		}
	}
	return w
}

// fewerChecks divides the number of checks until the end of a test that makes several.
func fewerChecks(t *testing.T, by int) (restore func()) {
	t.Helper()
	f := flag.Lookup("rapid.checks")
	before := f.Value.String()
	set := func(n string) {
		if err := f.Value.Set(n); err != nil {
			t.Fatal(err)
		}
	}
	n, err := strconv.Atoi(before)
	if err != nil {
		t.Fatal(err)
	}
	set(strconv.Itoa(max(1, n/by)))
	return func() { set(before) }
}

// replacePools puts attacks where all the values come from.
func replacePools(attacks []string) (restore func()) {
	oldTexts, oldEmails, oldNames, oldHandles, oldLiterals, oldTables := texts, emails, names, handles, literals, tableNames
	oldConstants, oldRedactions, oldSorts, oldTenants, oldKind, oldMembers, oldPaths := constants, redactions, sorts, tenants, tenantKind, members, paths
	without := func(list []string, characters string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool {
			return strings.ContainsAny(s, characters) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\n\r", r) })
		})
	}
	texts = append([]string{"1", "x"}, attacks...)
	emails = append([]string{"kim@x.example"}, attacks...)
	constants, redactions, sorts = attacks, attacks, append([]string{"1"}, attacks...)
	literals, handles, names = attacks, without(attacks, "|"), append([]string{"x.pdf"}, without(attacks, `/\`)...)
	// A server's names of tables end at 64 characters, MariaDB's with four places in a file's name for each that is no letter.
	tableNames = slices.DeleteFunc(slices.Clone(names), func(s string) bool {
		return len(s) > 40 || strings.ContainsFunc(s, func(r rune) bool { return r > 0xFFFF })
	})
	last := names[len(names)-1]
	tenantKind, tenants = "text", [][]string{{last, "1"}, {last, names[0], "1"}, {"1", last}}
	members, paths = map[string][]string{}, nil
	for i, name := range without(attacks, `"\`) {
		path, at := fmt.Sprintf(`$["%s"]`, name), []string{name}
		if i%2 == 1 {
			path, at = fmt.Sprintf(`$.c["%s"]`, name), []string{"c", name}
		}
		if len(paths) < 4 {
			members[path], paths = at, append(paths, path)
		}
	}
	return func() {
		texts, emails, names, handles, literals, tableNames = oldTexts, oldEmails, oldNames, oldHandles, oldLiterals, oldTables
		constants, redactions, sorts, tenants, tenantKind, members, paths = oldConstants, oldRedactions, oldSorts, oldTenants, oldKind, oldMembers, oldPaths
	}
}
