package planner

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

var errMemberPath = errors.New(`the path must lead from $ through names of object members, for example $.contact.email or $["birth date"].year; positions in arrays and wildcards are not supported`)

// parseMemberPath reads the path of a member of a JSON document (RFC 9535, name selectors alone).
func parseMemberPath(s string) ([]string, error) {
	rest, ok := strings.CutPrefix(s, "$")
	if !ok || rest == "" {
		return nil, errMemberPath
	}
	var names []string
	for rest != "" {
		var name string
		switch {
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], ".[")
			if end < 0 {
				end = len(rest) - 1
			}
			name, rest = rest[1:1+end], rest[1+end:]
			if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
				return nil, errMemberPath
			}
		case strings.HasPrefix(rest, `["`):
			end := strings.Index(rest, `"]`)
			if end < 2 {
				return nil, errMemberPath
			}
			name, rest = rest[2:end], rest[end+2:]
		default:
			return nil, errMemberPath
		}
		if name == "" || strings.ContainsAny(name, "\"\\\x00") {
			return nil, errMemberPath
		}
		names = append(names, name)
	}
	return names, nil
}

var (
	errNoDocument = errors.New("a record holds a text that is no JSON document, so that its members cannot be told; correct the text, or overwrite the column as a whole, without a path")
	errTwice      = errors.New("a document names a member of the path twice, of which databases change one alone; leave one of them, or overwrite the column as a whole, without a path")
)

// documentError is what is wrong with the content of a record, not with a map.
type documentError struct{ error }

// checkDocument refuses a text of which no database could change the member alone. A blank text is no document and stays as it
// is.
func checkDocument(text string, path []string) error {
	if strings.Trim(text, " \t\n\v\f\r") == "" {
		return nil
	}
	if !json.Valid([]byte(text)) {
		return documentError{errNoDocument}
	}
	raw := json.RawMessage(text)
	for _, name := range path {
		values, err := membersNamed(raw, name)
		switch {
		case err != nil:
			return documentError{errNoDocument}
		case len(values) == 0:
			return nil
		case len(values) > 1:
			return documentError{errTwice}
		}
		raw = values[0]
	}
	return nil
}

// membersNamed are the values of all members of an object with the name.
func membersNamed(raw json.RawMessage, name string) ([]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, err
	}
	var values []json.RawMessage
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if key == name {
			values = append(values, value)
		}
	}
	return values, nil
}

// documentProblems are the documents among the record's columns that an erasure could not treat.
func (r *Resolver) documentProblems(e *entity, row *RowFacts) []Problem {
	var problems []Problem
	if !e.updates() {
		return nil
	}
	for _, f := range e.spec.Fields {
		if v := e.value(row, f.Column); removesElements(f) && v != nil {
			r.elements(e, f.Column, v)
			continue
		}
		path, err := parseMemberPath(f.Path)
		v := e.value(row, f.Column)
		if f.Path == "" || err != nil || v == nil {
			continue
		}
		if err := checkDocument(r.opts.text(e.spec.Store, v), path); err != nil {
			problems = append(problems, e.documentProblem(f, err))
		}
	}
	return problems
}

func (e *entity) documentProblem(f v1alpha1.FieldChange, err error) Problem {
	if f.Path == "" {
		return e.problem(v1alpha1.ReasonDocumentUnreadable, f.Column, "entity %s, column %s: %s", e.name, f.Column, err.Error())
	}
	return e.problem(v1alpha1.ReasonDocumentUnreadable, f.Column, "entity %s, column %s, member %s: %s", e.name, f.Column, f.Path, err.Error())
}

// memberOf is the JSON of a document's member; false means that there is none, or null.
func memberOf(document string, path []string) (json.RawMessage, bool) {
	raw := json.RawMessage(document)
	for _, name := range path {
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &object) != nil {
			return nil, false
		}
		next, ok := object[name]
		if !ok {
			return nil, false
		}
		raw = next
	}
	return raw, !bytes.Equal(raw, []byte("null"))
}

// memberText is the text of a document's member: of a string what it says, of anything else its JSON. False means that
// there is none, or null.
func memberText(document string, path []string) (string, bool) {
	raw, ok := memberOf(document, path)
	var text string
	if ok && json.Unmarshal(raw, &text) == nil {
		return text, true
	}
	return string(raw), ok
}

// redactMember redacts the texts of a JSON value, the names of members and numbers too, and leaves its form as it is.
func redactMember(raw json.RawMessage, redact func(text string) string) (string, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return "", errors.New("a document is no JSON")
	}
	text, err := json.Marshal(redactValue(value, redact))
	return string(text), err
}

func redactValue(value any, redact func(text string) string) any {
	switch v := value.(type) {
	case string:
		return redact(v)
	case json.Number:
		if text := redact(v.String()); text != v.String() {
			return text
		}
	case []any:
		for i := range v {
			v[i] = redactValue(v[i], redact)
		}
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, member := range v {
			out[redact(name)] = redactValue(member, redact)
		}
		return out
	}
	return value
}

func jsonString(s string) string {
	text, _ := json.Marshal(s) // a string always has a JSON form
	return string(text)
}
