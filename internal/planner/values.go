package planner

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

// generatedLength is the length of the texts that Pseudonym, Hash and Random write.
const generatedLength = 26

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// mac is HMAC-SHA-256 over a purpose and parts that cannot run into each other.
func mac(key []byte, purpose string, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(tuple(append([]string{"lethe/planner/" + purpose}, parts...))))
	return h.Sum(nil)
}

// generated is 128 bits as 26 characters of lower-case base32.
func generated(key []byte, purpose string, parts ...string) string {
	return lowerBase32.EncodeToString(mac(key, purpose, parts...)[:16])
}

func nonce(seed []byte, purpose string) string { return hex.EncodeToString(mac(seed, purpose)[:16]) }

// Codec turns values of a store to plain text and back (Backend.Text, Backend.FromText); nil members take a value for its
// text.
type Codec struct {
	Text     func(store string, v backend.Value) string
	FromText func(store, text string) backend.Value
	// Elements are the plain texts of an array's elements (Arrays.Elements).
	Elements func(store string, v backend.Value) ([]string, bool)
}

func (c Codec) text(store string, v backend.Value) string {
	if c.Text == nil {
		return *v
	}
	return c.Text(store, v)
}

func (c Codec) value(store, text string) backend.Value {
	if c.FromText == nil {
		return &text
	}
	return c.FromText(store, text)
}

// anonymizer makes the values that are written over personal data. They derive from keys, so that a run that is resumed
// writes the same.
type anonymizer struct {
	runSeed, namespaceKey []byte
	subject               Subject
}

var (
	errNotADate = errors.New("a value is not a date that TruncateDate can read; correct it, or choose another strategy")
	errNoKey    = errors.New("the strategies Hash and Fingerprint need the namespace's key, which is missing")
)

// newValue is what a field of a record gets: the value of a column, or the JSON text of a member, nil to take it out.
func (b *builder) newValue(e *entity, f v1alpha1.FieldChange, row *RowFacts) (backend.Value, error) {
	store := e.spec.Store
	switch {
	case f.Strategy == v1alpha1.StrategyFingerprint:
		text, ok, err := b.fingerprint(e, f, row)
		if err != nil || !ok {
			return nil, err
		}
		return b.in.Codec.value(store, text), nil
	case f.Path != "":
		return b.memberValue(e, f, row)
	case removesElements(f):
		return b.elementsOfSubject(e, f, row)
	case f.Strategy == v1alpha1.StrategyNull:
		return nil, nil
	}
	old := e.value(row, f.Column)
	text, ok, err := b.values.newText(e, f, row, func() (string, bool) {
		if old == nil {
			return "", false
		}
		return b.in.Codec.text(store, old), true
	})
	if err != nil || !ok {
		return nil, err
	}
	return b.in.Codec.value(store, text), nil
}

// memberValue is the new value of a member. Where the document has none, whatever it returns changes nothing.
func (b *builder) memberValue(e *entity, f v1alpha1.FieldChange, row *RowFacts) (backend.Value, error) {
	store := e.spec.Store
	path, err := parseMemberPath(f.Path)
	if err != nil {
		return nil, err
	}
	document := "null"
	if v := e.value(row, f.Column); v != nil {
		document = b.in.Codec.text(store, v)
		if err := checkDocument(document, path); err != nil {
			return nil, err
		}
	}
	switch f.Strategy {
	case v1alpha1.StrategyRemove:
		return nil, nil
	case v1alpha1.StrategyNull:
		return b.in.Codec.value(store, "null"), nil
	}
	if raw, ok := memberOf(document, path); ok && f.Strategy == v1alpha1.StrategyRedact {
		words := b.values.words(e, f.Column)
		text, err := redactMember(raw, func(text string) string { return redact(text, words, *f.Value) })
		return b.in.Codec.value(store, text), err
	}
	text, ok, err := b.values.newText(e, f, row, func() (string, bool) { return memberText(document, path) })
	switch {
	case err != nil:
		return nil, err
	case !ok:
		return b.in.Codec.value(store, "null"), nil
	}
	return b.in.Codec.value(store, jsonString(text)), nil
}

// elementsOfSubject are the elements of an array that are identities of the subject, in any case, as they stand there.
func (b *builder) elementsOfSubject(e *entity, f v1alpha1.FieldChange, row *RowFacts) (backend.Value, error) {
	texts := []string{}
	if v := e.value(row, f.Column); v != nil {
		if b.in.Codec.Elements == nil {
			return nil, documentError{errNoArray}
		}
		list, ok := b.in.Codec.Elements(e.spec.Store, v)
		if !ok {
			return nil, documentError{errNoArray}
		}
		words := b.values.words(e, f.Column)
		for _, text := range list {
			if slices.ContainsFunc(words, func(w string) bool {
				return strings.TrimSpace(w) != "" && sameWord(strings.TrimSpace(text), strings.TrimSpace(w))
			}) {
				texts = append(texts, text)
			}
		}
	}
	return b.in.Codec.value(e.spec.Store, jsonTexts(texts)), nil
}

var errNoArray = errors.New("a record holds no array of one dimension that begins at 1, so that its elements cannot be told; correct it, or overwrite the column as a whole")

// newText is the text that a strategy writes instead of the old one; false means that there is none.
func (a anonymizer) newText(e *entity, f v1alpha1.FieldChange, row *RowFacts, old func() (string, bool)) (string, bool, error) {
	switch f.Strategy {
	case v1alpha1.StrategyConstant:
		return *f.Value, true, nil
	case v1alpha1.StrategyRandom:
		return generated(a.runSeed, "random", append([]string{e.name, f.Column, keyID(row.Key)}, optional(f.Path)...)...), true, nil
	}
	text, ok := old()
	if !ok {
		return "", false, nil
	}
	switch f.Strategy {
	case v1alpha1.StrategyPseudonym:
		// Neither entity nor column goes in: the same value gets the same pseudonym wherever it stands.
		return generated(a.runSeed, "pseudonym", text), true, nil
	case v1alpha1.StrategyHash:
		if len(a.namespaceKey) == 0 {
			return "", false, errNoKey
		}
		return generated(a.namespaceKey, "hash", text), true, nil
	case v1alpha1.StrategyRedact:
		return redact(text, a.words(e, f.Column), *f.Value), true, nil
	}
	short, ok := truncateDate(text, f.Unit)
	if !ok {
		return "", false, errNotADate
	}
	return short, true, nil
}

func optional(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

// words are the identities that the column is compared with, or all of the subject where it is compared with none.
func (a anonymizer) words(e *entity, column string) []string {
	var words []string
	for _, m := range e.spec.IdentifiedBy {
		if m.Column == column {
			words = append(words, a.subject.Identities[m.Identity]...)
		}
	}
	if len(words) > 0 {
		return words
	}
	for _, name := range sortedKeys(a.subject.Identities) {
		words = append(words, a.subject.Identities[name]...)
	}
	return words
}

// fingerprint is a keyed one-way hash of a record's columns, or of its parent's, within the values of the columns per. Blank
// ends and case make no difference. False means that there is nothing to recognise: all values are NULL or blank.
func (b *builder) fingerprint(e *entity, f v1alpha1.FieldChange, row *RowFacts) (string, bool, error) {
	if len(b.in.NamespaceKey) == 0 {
		return "", false, errNoKey
	}
	from, source := e, row
	if f.Fingerprint.Parent != "" {
		if from, source = b.parentOf(e, qualified(e.mapName, f.Fingerprint.Parent), row); source == nil {
			return "", false, nil
		}
	}
	texts := func(of *entity, row *RowFacts, columns []string) []string {
		out := make([]string, len(columns))
		for i, c := range columns {
			if v := of.value(row, c); v != nil {
				out[i] = b.in.Codec.text(of.spec.Store, v)
			}
		}
		return out
	}
	return Fingerprint(b.in.NamespaceKey, e.name, f.Column, texts(e, row, f.Fingerprint.Per), texts(from, source, f.Fingerprint.Columns))
}

// Fingerprint is what the strategy Fingerprint writes into the column of the entity (map/entity) for the values within per:
// 128 bits of HMAC-SHA-256 under the namespace's key, 26 characters. False means that all values are blank.
func Fingerprint(namespaceKey []byte, entity, column string, per, values []string) (string, bool, error) {
	blank := true
	folded := make([]string, len(values))
	for i, v := range values {
		folded[i] = strings.ToLower(strings.TrimSpace(v))
		blank = blank && folded[i] == ""
	}
	if blank {
		return "", false, nil
	}
	return generated(namespaceKey, "fingerprint", entity, column, tuple(per), tuple(folded)), true, nil
}

// parentOf is the record of a Deep parent that the record refers to.
func (b *builder) parentOf(e *entity, name string, row *RowFacts) (*entity, *RowFacts) {
	for _, ref := range row.Parents {
		if ed := e.edgeAt(ref.Edge); ed != nil && ed.deep && ed.parent.name == name {
			if s := b.index[name][ref.Key]; s != nil {
				return ed.parent, s.row
			}
		}
	}
	return nil, nil
}

// dateShape is a date with an optional time and zone, as databases and RFC 3339 write them.
var dateShape = regexp.MustCompile(`^(\d{4})-(\d{2})-(\d{2})(?:([T ])(\d{2}):(\d{2})(:\d{2})?([.,]\d{1,9})?( ?(?:Z|[+-]\d{2}(?::?\d{2}){0,2}))?)?$`)

// truncateDate keeps year, month or day of a date and the shape of its text: what had a time of day gets midnight, the
// zone stays as it is written.
func truncateDate(s string, unit v1alpha1.DateUnit) (string, bool) {
	m := dateShape.FindStringSubmatch(s)
	if m == nil || !realTime(m) {
		return "", false
	}
	switch unit {
	case v1alpha1.UnitYear:
		m[2], m[3] = "01", "01"
	case v1alpha1.UnitMonth:
		m[3] = "01"
	case v1alpha1.UnitDay:
	default:
		return "", false
	}
	out := m[1] + "-" + m[2] + "-" + m[3]
	if m[4] == "" {
		return out, true
	}
	return out + m[4] + "00:00" + zeros(m[7]) + zeros(m[8]) + m[9], true
}

// realTime refuses dates such as February 30.
func realTime(m []string) bool {
	n := func(i int) int {
		v, _ := strconv.Atoi(strings.Trim(m[i], ":")) // digits by the pattern
		return v
	}
	t := time.Date(n(1), time.Month(n(2)), n(3), 0, 0, 0, 0, time.UTC)
	return t.Year() == n(1) && int(t.Month()) == n(2) && t.Day() == n(3) && n(5) < 24 && n(6) < 60 && n(7) < 61
}

func zeros(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, s)
}
