package planner

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"regexp"
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
	codec                 Codec
}

var (
	errNotADate = errors.New("a value is not a date that TruncateDate can read; correct it, or choose another strategy")
	errNoKey    = errors.New("the strategy Hash needs the namespace's key, which is missing")
)

// newValue is what a field of a record gets.
func (a anonymizer) newValue(e *entity, f v1alpha1.FieldChange, row *RowFacts) (backend.Value, error) {
	store := e.spec.Store
	switch f.Strategy {
	case v1alpha1.StrategyNull:
		return nil, nil
	case v1alpha1.StrategyConstant:
		return a.codec.value(store, *f.Value), nil
	case v1alpha1.StrategyRandom:
		return a.codec.value(store, generated(a.runSeed, "random", e.name, f.Column, keyID(row.Key))), nil
	}
	old := e.value(row, f.Column)
	if old == nil {
		return nil, nil
	}
	text := a.codec.text(store, old)
	switch f.Strategy {
	case v1alpha1.StrategyPseudonym:
		// Neither entity nor column goes in: the same value gets the same pseudonym wherever it stands.
		return a.codec.value(store, generated(a.runSeed, "pseudonym", text)), nil
	case v1alpha1.StrategyHash:
		if len(a.namespaceKey) == 0 {
			return nil, errNoKey
		}
		return a.codec.value(store, generated(a.namespaceKey, "hash", text)), nil
	}
	short, ok := truncateDate(text, f.Unit)
	if !ok {
		return nil, errNotADate
	}
	return a.codec.value(store, short), nil
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
