package property

import (
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// members are the paths that maps name, with the names that they lead through.
var members = map[string][]string{"$.a": {"a"}, "$.c.email": {"c", "email"}, `$["x y"]`: {"x y"}, `$.c["b.c"]`: {"c", "b.c"}}

var paths = []string{"$.a", "$.c.email", `$["x y"]`, `$.c["b.c"]`}

// drawMembers changes one or two members of a JSON column.
func drawMembers(t *rapid.T, column string) []v1alpha1.FieldChange {
	var fields []v1alpha1.FieldChange
	for _, path := range rapid.SliceOfNDistinct(rapid.SampledFrom(paths), 1, 2, rapid.ID[string]).Draw(t, "members") {
		f := v1alpha1.FieldChange{Column: column, Path: path, Strategy: pick(t, []v1alpha1.AnonymizeStrategy{v1alpha1.StrategyRemove, v1alpha1.StrategyRedact,
			v1alpha1.StrategyNull, v1alpha1.StrategyConstant, v1alpha1.StrategyPseudonym, v1alpha1.StrategyHash, v1alpha1.StrategyRandom}, "member's strategy")}
		if f.Strategy == v1alpha1.StrategyRedact || f.Strategy == v1alpha1.StrategyConstant {
			f.Value = ptr(pick(t, []string{"[gone]", "", `"`}, "member's value"))
		}
		fields = append(fields, f)
	}
	return fields
}

// drawDocument makes a JSON document, mostly an object with what the paths lead to.
func drawDocument(t *rapid.T, rid int) string {
	if chance(t, 8, "no object") {
		return pick(t, []string{"null", "5", `"kim@x.example"`, `["kim@x.example"]`, "{}", "[]", "true"}, "document")
	}
	object := map[string]any{"keep": fmt.Sprintf("kept %d %s", rid, pick(t, texts, "kept"))}
	inner := map[string]any{"keep": json.Number("12.50")}
	for _, path := range paths {
		names, at := members[path], object
		if len(names) > 1 {
			at = inner
		}
		if !chance(t, 4, "no member") {
			at[names[len(names)-1]] = drawMember(t)
		}
	}
	object["c"] = any(inner)
	if chance(t, 5, "no inner object") {
		object["c"] = drawMember(t)
	}
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func drawMember(t *rapid.T) any {
	text := pick(t, emails, "address") + pick(t, []string{"", ", bob@x.example", " 1"}, "and")
	return pick(t, []any{text, pick(t, texts, "member"), text, json.Number("9007199254740993"), nil, true, []any{text, json.Number("1")}, map[string]any{"to": text}}, "member's value")
}

// checkDocument compares the members with their strategies, and the rest of the document with what it was.
func (w *world) checkDocument(fields []v1alpha1.FieldChange, was, is string) string {
	if was == null {
		if is != null {
			return "it had no document and has one"
		}
		return ""
	}
	before, after := parse(was), parse(is)
	for _, f := range fields {
		names := members[f.Path]
		old, ok := find(before, names)
		if !ok {
			continue
		}
		now, there := find(after, names)
		if why := w.checkMember(f, old[names[len(names)-1]], now, names[len(names)-1], there); why != "" {
			return "member " + f.Path + ": " + why
		}
		delete(old, names[len(names)-1])
		if there {
			old[names[len(names)-1]] = now[names[len(names)-1]]
		}
	}
	if !reflect.DeepEqual(before, after) {
		return "another part of the document was changed"
	}
	return ""
}

func (w *world) checkMember(f v1alpha1.FieldChange, old any, now map[string]any, name string, there bool) string {
	if f.Strategy == v1alpha1.StrategyRemove {
		if there {
			return "it was not removed"
		}
		return ""
	}
	if !there {
		return "it was removed"
	}
	value := now[name]
	text, isText := value.(string)
	ok := false
	switch f.Strategy {
	case v1alpha1.StrategyNull:
		ok = value == nil
	case v1alpha1.StrategyConstant:
		ok = isText && text == *f.Value
	case v1alpha1.StrategyRandom:
		ok = generated.MatchString("s:" + text)
	case v1alpha1.StrategyPseudonym, v1alpha1.StrategyHash:
		ok = old == nil && value == nil || generated.MatchString("s:"+text)
	case v1alpha1.StrategyRedact:
		ok = w.redactedMember(old, value, *f.Value)
	}
	if !ok {
		return fmt.Sprintf("it does not have what %s writes: %q %q %q", f.Strategy, old, value, w.subject)
	}
	return ""
}

// redactedMember compares texts in it, however deep, and all else as it was.
func (w *world) redactedMember(old, now any, by string) bool {
	switch old := old.(type) {
	case number:
		text, ok := now.(string)
		return old == now || ok && text == by && slices.ContainsFunc(w.identities(nil, ""), func(id string) bool { return strings.TrimSpace(id) == old.text })
	case string:
		text, ok := now.(string)
		return ok && redactedText(old, text, by, w.identities(nil, ""))
	case []any:
		list, ok := now.([]any)
		if !ok || len(list) != len(old) {
			return false
		}
		for i := range old {
			if !w.redactedMember(old[i], list[i], by) {
				return false
			}
		}
		return true
	case map[string]any:
		object, ok := now.(map[string]any)
		if !ok || len(object) != len(old) {
			return false
		}
		for name := range old {
			if _, ok := object[name]; !ok || !w.redactedMember(old[name], object[name], by) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(old, now)
}

// find the object that has the last of the names.
func find(document any, names []string) (map[string]any, bool) {
	for i, name := range names {
		object, ok := document.(map[string]any)
		if !ok {
			return nil, false
		}
		if _, ok = object[name]; !ok {
			return nil, false
		}
		if i == len(names)-1 {
			return object, true
		}
		document = object[name]
	}
	return nil, false
}

// parse a document in the notation of snapshots; numbers compare by their value.
func parse(text string) any {
	d := json.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "s:")))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return "not JSON: " + err.Error()
	}
	return exact(v)
}

// number of a document, as an integer or a fraction.
type number struct{ text string }

func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		if r, ok := new(big.Rat).SetString(v.String()); ok {
			return number{r.RatString()}
		}
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = exact(v[k])
		}
	}
	return v
}

// identities that a column names: those that it is compared with, else all.
func (w *world) identities(tb *table, column string) []string {
	var list []string
	if tb != nil {
		for _, m := range tb.entity.IdentifiedBy {
			if m.Column == column {
				list = append(list, w.subject[m.Identity]...)
			}
		}
	}
	if len(list) == 0 {
		list = slices.Concat(w.subject["id"], w.subject["email"])
	}
	return list
}

func (w *world) checkRedacted(tb *table, f v1alpha1.FieldChange, was, is string) string {
	if was == null && is == null || was != null && is != null && redactedText(was[2:], is[2:], *f.Value, w.identities(tb, f.Column)) {
		return ""
	}
	return fmt.Sprintf("it does not have what Redact writes: %q %q %q %q", was, is, *f.Value, w.identities(tb, f.Column))
}

// redactedText puts the replacement in the place of every identity, the longest first.
func redactedText(was, is, by string, identities []string) bool {
	same := func(part, word string) bool {
		return part == word || !strings.ContainsFunc(part+word, lookAlike) && strings.ToLower(part) == strings.ToLower(word) //nolint:staticcheck // EqualFold takes more letters for the same
	}
	want := ""
	for at := 0; at < len(was); {
		end := -1
		for _, id := range identities {
			if id = strings.TrimSpace(id); utf8.RuneStart(was[at]) {
				end = max(end, wordAt(was, at, id, same))
			}
		}
		if end < 0 {
			want += was[at : at+1]
			at++
			continue
		}
		want, at = want+by, end
	}
	return is == want
}
