package planner

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Baseline is what a map was checked against when it was written: the tables of its schemas by store and full name.
type Baseline map[string]map[string]TableBaseline

// TableBaseline is one table of a baseline.
type TableBaseline struct {
	// Columns with their types, of tables that the map maps or ignores.
	Columns map[string]string `json:"c,omitempty"`
	// Keys are foreign keys with what they do when the record that they refer to goes: of a table that the map maps or
	// ignores all, of others those that refer to one that it maps.
	Keys map[string]string `json:"k,omitempty"`
}

// maxBaseline bounds what a stored baseline may unfold to.
const maxBaseline = 64 << 20

// Encode makes a baseline small enough to be kept.
func (b Baseline) Encode() ([]byte, error) {
	plain, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// DecodeBaseline reads what Encode made.
func DecodeBaseline(data []byte) (Baseline, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("a baseline cannot be unfolded: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxBaseline))
	if err != nil {
		return nil, fmt.Errorf("a baseline cannot be unfolded: %w", err)
	}
	var b Baseline
	if err := json.Unmarshal(plain, &b); err != nil {
		return nil, fmt.Errorf("a baseline cannot be read: %w", err)
	}
	return b, nil
}

// Baseline is the live schema as one map's baseline.
func (g *Graph) Baseline(stores map[string]StoreFacts, mapName string) Baseline {
	b := Baseline{}
	for _, store := range g.Stores() {
		if stores[store].Schema == nil {
			continue
		}
		s := g.survey(store, stores[store], []string{mapName})
		if len(s.own) > 0 {
			b[store] = s.baseline()
		}
	}
	return b
}

func (s *survey) baseline() map[string]TableBaseline {
	tables := map[string]TableBaseline{}
	for _, t := range s.all() {
		tables[tableText(t)] = TableBaseline{}
	}
	for i := range s.facts.Schema.Tables {
		info := &s.facts.Schema.Tables[i]
		t := s.facts.normal(info.Table)
		b := TableBaseline{}
		for _, fk := range info.ForeignKeys {
			ref := s.facts.normal(fk.References)
			if !s.own[t] && (!s.own[ref] || s.table(ref) != mapped) {
				continue
			}
			if b.Keys == nil {
				b.Keys = map[string]string{}
			}
			b.Keys[keyText(fk, ref)] = string(fk.OnDelete)
		}
		if s.own[t] {
			b.Columns = map[string]string{}
			for _, c := range info.Columns {
				b.Columns[c.Name] = c.Type
			}
		}
		if _, listed := tables[tableText(t)]; listed || s.own[t] || b.Keys != nil {
			tables[tableText(t)] = b
		}
	}
	return tables
}

func keyText(fk backend.ForeignKey, ref backend.Table) string {
	return fmt.Sprintf("(%s) to %s (%s)", strings.Join(fk.Columns, ", "), tableText(ref), strings.Join(fk.RefColumns, ", "))
}

// Drift holds the live schema against a map's baseline. It lists what is new, changed or gone and that the maps do not
// name, sorted, and gives the baseline to go on with: what the maps name by now belongs to it.
func (g *Graph) Drift(old Baseline, stores map[string]StoreFacts, mapName string) (drift []string, next Baseline) {
	live := g.Baseline(stores, mapName)
	next = Baseline{}
	for store, tables := range old {
		if _, ok := live[store]; !ok { // away: what is known of it stays known
			next[store] = tables
		}
	}
	for _, store := range sortedKeys(live) {
		before, known := old[store]
		if !known { // the map names this store anew, which only a change of the map can do
			next[store] = live[store]
			continue
		}
		d := &drifter{survey: g.survey(store, stores[store], []string{mapName}), next: map[string]TableBaseline{}}
		d.compare(before, live[store])
		drift, next[store] = append(drift, d.found...), d.next
	}
	slices.Sort(drift)
	return drift, next
}

// drifter compares one store.
type drifter struct {
	*survey
	found []string
	next  map[string]TableBaseline
}

func (d *drifter) note(table, column, format string, args ...any) {
	where := d.store + "/" + table
	if column != "" {
		where += "." + column
	}
	d.found = append(d.found, truncateName(where+" "+fmt.Sprintf(format, args...)))
}

func (d *drifter) compare(before, live map[string]TableBaseline) {
	byText := map[string]backend.Table{}
	for i := range d.facts.Schema.Tables {
		t := d.facts.normal(d.facts.Schema.Tables[i].Table)
		byText[tableText(t)] = t
	}
	for _, t := range d.all() {
		byText[tableText(t)] = t
	}
	for _, name := range sortedKeys(live) {
		t := byText[name]
		was, known := before[name]
		switch {
		case !known && d.table(t) == unknown:
			d.note(name, "", "is a new table that no map maps or ignores")
		case !known, was.Columns == nil && d.own[t]: // mapped or ignored by name before it was there
			d.next[name] = live[name]
		default:
			d.next[name] = TableBaseline{Columns: d.columns(t, name, was, live[name]), Keys: d.keys(t, name, was, live[name])}
		}
	}
	for _, name := range sortedKeys(before) {
		if _, ok := live[name]; ok {
			continue
		}
		if t := d.mappedByText(name); t {
			d.note(name, "", "is gone")
			d.next[name] = before[name]
		}
	}
}

// mappedByText tells whether a table that is gone is one that the map maps.
func (d *drifter) mappedByText(name string) bool {
	for t := range d.mapped {
		if tableText(t) == name && d.own[t] {
			return true
		}
	}
	return false
}

// columns compares those of a table that the map maps or ignores, and returns what to go on with.
func (d *drifter) columns(t backend.Table, name string, was, is TableBaseline) map[string]string {
	if is.Columns == nil {
		return nil
	}
	next := map[string]string{}
	for _, c := range sortedKeys(is.Columns) {
		before, known := was.Columns[c]
		switch {
		case !known && (d.named[t][c] || d.survey.columns[t][c]):
			next[c] = is.Columns[c]
		case !known:
			d.note(name, c, "is a new column (%s)", is.Columns[c])
		case before != is.Columns[c] && d.table(t) == mapped:
			d.note(name, c, "was %s and is %s", before, is.Columns[c])
			next[c] = before
		default:
			next[c] = is.Columns[c]
		}
	}
	for _, c := range sortedKeys(was.Columns) {
		if _, ok := is.Columns[c]; !ok && d.table(t) == mapped {
			d.note(name, c, "is gone")
			next[c] = was.Columns[c]
		}
	}
	return next
}

// keys compares foreign keys.
func (d *drifter) keys(t backend.Table, name string, was, is TableBaseline) map[string]string {
	next := map[string]string{}
	for _, k := range sortedKeys(is.Keys) {
		before, known := was.Keys[k]
		switch {
		case !known && d.covers(t, k):
			next[k] = is.Keys[k]
		case !known:
			d.note(name, "", "has a new foreign key %s", k)
		case before != is.Keys[k]:
			d.note(name, "", "has a foreign key %s that was ON DELETE %s and is ON DELETE %s", k, before, is.Keys[k])
			next[k] = before
		default:
			next[k] = before
		}
	}
	for _, k := range sortedKeys(was.Keys) {
		if _, ok := is.Keys[k]; !ok && d.table(t) == mapped {
			d.note(name, "", "has no foreign key %s any more", k)
			next[k] = was.Keys[k]
		}
	}
	return next
}

// covers tells whether the maps have a parent for a foreign key.
func (d *drifter) covers(t backend.Table, key string) bool {
	for i := range d.facts.Schema.Tables {
		info := &d.facts.Schema.Tables[i]
		if d.facts.normal(info.Table) != t {
			continue
		}
		for _, fk := range info.ForeignKeys {
			ref := d.facts.normal(fk.References)
			if keyText(fk, ref) != key {
				continue
			}
			for _, child := range d.mapped[t] {
				if slices.ContainsFunc(d.mapped[ref], func(parent *entity) bool { return covering(child, parent, fk) != nil }) {
					return true
				}
			}
		}
	}
	return false
}
