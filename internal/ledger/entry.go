package ledger

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"
)

// SchemaVersion of the entries that this release writes.
const SchemaVersion = 1

// Bounds of an entry, so that nobody keeps a database in the ledger.
const (
	maxText  = 1024
	maxKey   = 256
	maxItems = 1000
	// MaxLeaf is how many bytes the canonical text of an entry may have.
	MaxLeaf = 64 << 10
)

// ErrInvalidEntry means that an entry cannot be recorded.
var ErrInvalidEntry = errors.New("invalid ledger entry")

// Entry is what is recorded. The leaf's JSON has these fields in this order, after "v", the schema version; empty ones
// are left out.
type Entry struct {
	// Key makes appending idempotent: unique in its origin, for example "<handle>/run/<uid>/step/3/outcome".
	Key string `json:"key"`
	// Time of the event by the caller's clock, kept in UTC.
	Time time.Time `json:"time"`
	// Kind is one of the Kind constants.
	Kind string `json:"kind"`
	// Handle is the request's random id.
	Handle string `json:"handle,omitempty"`
	// Run is the UID of the run.
	Run string `json:"run,omitempty"`
	// Step of the run's plan.
	Step string `json:"step,omitempty"`
	// Reason is one of the API's reason words.
	Reason string `json:"reason,omitempty"`
	// Actor is who did it, in the form that the policy allows.
	Actor string `json:"actor,omitempty"`
	// Counts of records by category.
	Counts []Count `json:"counts,omitempty"`
	// Attributes are further facts, such as digests; never values from a store.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// Count is how many records of one kind an action concerned.
type Count struct {
	Store    string `json:"store,omitempty"`
	Entity   string `json:"entity,omitempty"`
	Category string `json:"category,omitempty"`
	Action   string `json:"action,omitempty"` // Delete, Anonymize, Keep, ...
	Basis    string `json:"basis,omitempty"`  // the legal basis of what stays
	Count    int64  `json:"count"`
}

// leaf is the published order of fields.
type leaf struct {
	Version int `json:"v"`
	Entry
}

// EncodeLeaf makes the canonical text of an entry, or says why it cannot be recorded. The error never holds a value.
func EncodeLeaf(entry Entry) ([]byte, error) {
	if err := checkEntry(&entry); err != nil {
		return nil, err
	}
	text := encode(entry)
	if len(text) > MaxLeaf {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrInvalidEntry, MaxLeaf)
	}
	if holdsAddress(text) {
		if err := addressError(&entry); err != nil {
			return nil, err
		}
	}
	return text, nil
}

// DecodeLeaf reads a leaf. It accepts only the canonical form: of one meaning there is one text, hence one hash.
func DecodeLeaf(text []byte) (Entry, error) {
	var l leaf
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&l); err != nil {
		return Entry{}, fmt.Errorf("%w: not the JSON of an entry", ErrInvalidEntry)
	}
	if l.Version != SchemaVersion {
		return Entry{}, fmt.Errorf("%w: schema version %d is unknown", ErrInvalidEntry, l.Version)
	}
	if !bytes.Equal(encode(l.Entry), text) {
		return Entry{}, fmt.Errorf("%w: not in canonical form", ErrInvalidEntry)
	}
	return l.Entry, nil
}

func checkEntry(entry *Entry) error {
	switch {
	case entry.Key == "":
		return fmt.Errorf("%w: it has no key", ErrInvalidEntry)
	case len(entry.Key) > maxKey:
		return fmt.Errorf("%w: its key is longer than %d bytes", ErrInvalidEntry, maxKey)
	case entry.Kind == "":
		return fmt.Errorf("%w: it has no kind", ErrInvalidEntry)
	case entry.Time.IsZero():
		return fmt.Errorf("%w: it has no time", ErrInvalidEntry)
	case entry.Time.UTC().Year() < 0 || entry.Time.UTC().Year() > 9999:
		return fmt.Errorf("%w: its time has no JSON form", ErrInvalidEntry)
	case len(entry.Counts) > maxItems, len(entry.Attributes) > maxItems:
		return fmt.Errorf("%w: more than %d counts or attributes", ErrInvalidEntry, maxItems)
	}
	return eachText(entry, func(field, text string) error {
		if len(text) > maxText {
			return fmt.Errorf("%w: %s is longer than %d bytes", ErrInvalidEntry, field, maxText)
		}
		if !utf8.ValidString(text) {
			return fmt.Errorf("%w: %s is not UTF-8", ErrInvalidEntry, field)
		}
		return nil
	})
}

// eachText calls fn for every text of an entry until it fails.
func eachText(entry *Entry, fn func(field, text string) error) error {
	for _, f := range [...]struct{ field, text string }{
		{"key", entry.Key}, {"kind", entry.Kind}, {"handle", entry.Handle}, {"run", entry.Run},
		{"step", entry.Step}, {"reason", entry.Reason}, {"actor", entry.Actor},
	} {
		if err := fn(f.field, f.text); err != nil {
			return err
		}
	}
	for _, c := range entry.Counts {
		for _, text := range [...]string{c.Store, c.Entity, c.Category, c.Action, c.Basis} {
			if err := fn("counts", text); err != nil {
				return err
			}
		}
	}
	for name, text := range entry.Attributes {
		if err := fn("the name of an attribute", name); err != nil {
			return err
		}
		if err := fn("an attribute", text); err != nil {
			return err
		}
	}
	return nil
}
