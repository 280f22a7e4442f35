package planner

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// reference names what a record has in a path store: files, objects, keys or remote records.
type reference struct {
	field string // of the entity's spec
	store string
	kind  backend.PathKind
	// stores that can have it.
	stores []StoreKind
	text   string // as the spec has it
	path   template
	// member of the kinds that have one.
	member   template
	category string
	step     StepKind
	// deactivates the remote records during the grace period.
	deactivates bool
}

// columns that the reference needs.
func (r reference) columns() []string { return append(r.path.columns(), r.member.columns()...) }

// fill makes the path of one record; false means that a column is NULL or empty, so that the record names nothing.
func (r reference) fill(value func(column string) (string, bool)) (backend.Path, bool) {
	put := value
	if r.kind == backend.KeyPattern {
		put = func(column string) (string, bool) {
			v, ok := value(column)
			return escapeGlob(v), ok
		}
	}
	path, ok := r.path.fill(put)
	if !ok {
		return backend.Path{}, false
	}
	member, ok := r.member.fill(value)
	return backend.Path{Path: path, Kind: r.kind, Member: member}, ok
}

// clean tells whether a path, with what the record put into it, can be looked up without harm.
func (r reference) clean(p backend.Path) bool {
	switch r.kind {
	case backend.File, backend.Directory, "":
		return cleanPath(p.Path)
	}
	return utf8.ValidString(p.Path) && !strings.ContainsRune(p.Path, 0)
}

// escapeGlob keeps a value from being a wildcard in a pattern of Redis.
func escapeGlob(v string) string {
	if !strings.ContainsAny(v, globSpecial) {
		return v
	}
	var b strings.Builder
	for i := range len(v) { // byte by byte, so that what is no text stays what it is, and is refused
		if strings.IndexByte(globSpecial, v[i]) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(v[i])
	}
	return b.String()
}

const globSpecial = `*?[]\`

// parseReferences reads everything that the entity's records name in path stores.
func (c *compiler) parseReferences(e *entity) {
	for _, f := range e.spec.Files {
		c.addReference(e, reference{field: "files", store: f.Store, kind: backend.PathKind(f.Kind), stores: fileStores(f.Kind),
			text: f.Path, category: f.Category, step: StepFiles}, "")
	}
	for _, k := range e.spec.Keys {
		kind := backend.PathKind(k.Kind)
		if k.Kind == v1alpha1.KeyKindKey || k.Kind == "" {
			kind = backend.KeyPattern
		}
		c.addReference(e, reference{field: "keys", store: k.Store, kind: kind, stores: []StoreKind{KeyStore}, text: k.Key, category: k.Category, step: StepKeys}, k.Member)
	}
	for _, s := range e.spec.Resources {
		c.addReference(e, reference{field: "resources", store: s.Store, kind: backend.Resource, stores: []StoreKind{ServiceStore}, text: s.ID, category: s.Category,
			member: template{{text: s.Resource}}, step: StepResources,
			deactivates: s.Deactivate == v1alpha1.DeactivateDuringGrace}, "")
	}
}

func fileStores(kind v1alpha1.FileKind) []StoreKind {
	if kind == v1alpha1.FileKindPrefix {
		return []StoreKind{ObjectStore}
	}
	return []StoreKind{PathStore, ObjectStore}
}

func (c *compiler) addReference(e *entity, r reference, member string) {
	refuse := func(reason string, err error) {
		c.add(e.problem(reason, "", "%s in store %s, %q: %s", r.field, r.store, r.text, err.Error()))
	}
	var err error
	if r.path, err = parseTemplate(r.text); err == nil && member != "" {
		r.member, err = parseTemplate(member)
	}
	if err == nil {
		err = r.checkLiterals()
	}
	switch {
	case err == errTemplateOutside: //nolint:errorlint // made here, never wrapped
		refuse(v1alpha1.ReasonPathOutsideRoot, err)
		return
	case err != nil:
		refuse(v1alpha1.ReasonInvalidSpec, err)
		return
	}
	if r.category == "" {
		r.category = e.spec.Category
	}
	e.references = append(e.references, r)
}

// checkLiterals refuses what no value could mend.
func (r reference) checkLiterals() error {
	switch r.kind {
	case backend.File, backend.Directory, "":
		return r.path.checkPath()
	case backend.Prefix:
		last, _ := utf8.DecodeLastRuneInString(r.path[len(r.path)-1].text)
		if r.path[len(r.path)-1].column || unicode.IsLetter(last) || unicode.IsDigit(last) {
			return errPrefixOpen
		}
	case backend.KeyPattern:
		return r.path.checkPattern()
	}
	return nil
}

// checkPattern refuses a wildcard beside a column: it would match the longer values of others.
func (t template) checkPattern() error {
	for i, p := range t {
		if p.column && (i > 0 && endsWild(t[i-1]) || i+1 < len(t) && beginsWild(t[i+1])) {
			return errPatternOpen
		}
	}
	return nil
}

func beginsWild(p templatePart) bool { return !p.column && strings.ContainsAny(p.text[:1], "*?[") }

func endsWild(p templatePart) bool {
	if p.column || !strings.ContainsAny(p.text[len(p.text)-1:], "*?]") {
		return false
	}
	escapes := 0
	for i := len(p.text) - 2; i >= 0 && p.text[i] == '\\'; i-- {
		escapes++
	}
	return escapes%2 == 0
}

// checkReferenceStores refuses a store of another kind than what it is to hold.
func (c *checker) checkReferenceStores(e *entity) {
	for _, r := range e.references {
		facts, ok := c.stores[r.store]
		switch {
		case !ok:
			c.add(e.problem(v1alpha1.ReasonStoreNotReady, "", "store %s of the %s is not ready; see the DataStore", r.store, r.field))
		case !slices.Contains(r.stores, facts.Kind):
			c.add(e.problem(v1alpha1.ReasonInvalidSpec, "", "store %s has no %s; name a DataStore of kind %s", r.store, r.field, kindNames(r.stores)))
		}
	}
}

func kindNames(kinds []StoreKind) string {
	names := map[StoreKind]string{PathStore: "filesystem", ObjectStore: "s3", KeyStore: "redis", ServiceStore: "http"}
	var list []string
	for _, k := range kinds {
		list = append(list, names[k])
	}
	return strings.Join(list, " or ")
}
