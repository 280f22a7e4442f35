package planner

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
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
