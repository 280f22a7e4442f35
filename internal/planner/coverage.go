package planner

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// Coverage counts the tables of the schemas that the maps name: mapped, ignored, and unknown, which is neither.
func (g *Graph) Coverage(stores map[string]StoreFacts) v1alpha1.MapCoverage {
	var c v1alpha1.MapCoverage
	for _, store := range g.Stores() {
		facts := stores[store]
		if facts.Schema == nil {
			continue
		}
		mapped, ignored := map[backend.Table]bool{}, map[backend.Table]bool{}
		for _, t := range g.Tables(store) {
			mapped[facts.normal(t)] = true
		}
		for _, t := range g.IgnoredTables(store) {
			ignored[facts.normal(t)] = true
		}
		seen := map[backend.Table]bool{}
		for _, t := range facts.Schema.All {
			t = facts.normal(t)
			switch {
			case seen[t]:
			case mapped[t]:
				c.Mapped++
			case ignored[t]:
				c.Ignored++
			default:
				c.Unknown++
			}
			seen[t] = true
		}
	}
	return c
}

// SchemaDigest is the SHA-256, in hexadecimal, of the structure of the tables that the stores described: the same for
// the same structure, in whatever order the stores list it. Privileges are no part of it.
func SchemaDigest(stores map[string]StoreFacts) string {
	type table struct {
		Store    string
		Table    backend.Table
		Kind     backend.TableKind
		Columns  []string
		Unique   []string
		Keys     []string
		Triggers []string
		Hidden   bool
	}
	var all []table
	for _, store := range sortedKeys(stores) {
		facts := stores[store]
		if facts.Schema == nil {
			continue
		}
		for _, info := range facts.Schema.Tables {
			t := table{Store: store, Table: facts.normal(info.Table), Kind: info.Kind, Triggers: slices.Clone(info.Triggers), Hidden: info.RowSecurity}
			for _, c := range info.Columns {
				c.SelectPrivilege, c.UpdatePrivilege = false, false
				t.Columns = append(t.Columns, jsonText(c))
			}
			for _, u := range info.Unique {
				t.Unique = append(t.Unique, jsonText(u))
			}
			for _, fk := range info.ForeignKeys {
				fk.References = facts.normal(fk.References)
				t.Keys = append(t.Keys, jsonText(fk))
			}
			slices.Sort(t.Columns)
			slices.Sort(t.Unique)
			slices.Sort(t.Keys)
			slices.Sort(t.Triggers)
			all = append(all, t)
		}
	}
	slices.SortStableFunc(all, func(a, b table) int { return strings.Compare(jsonText(a), jsonText(b)) })
	sum := sha256.Sum256([]byte(jsonText(all)))
	return hex.EncodeToString(sum[:])
}

func jsonText(v any) string {
	data, _ := json.Marshal(v) // names and flags only: cannot fail
	return string(data)
}
