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

// memberText is the text of a document's member: of a string what it says, of anything else its JSON. False means that
// there is none.
func memberText(document string, path []string) (string, bool) {
	raw := json.RawMessage(document)
	for _, name := range path {
		var object map[string]json.RawMessage
		if json.Unmarshal(raw, &object) != nil {
			return "", false
		}
		next, ok := object[name]
		if !ok {
			return "", false
		}
		raw = next
	}
	var text string
	if json.Unmarshal(raw, &text) == nil && !bytes.Equal(raw, []byte("null")) {
		return text, true
	}
	return string(raw), !bytes.Equal(raw, []byte("null"))
}

func jsonString(s string) string {
	text, _ := json.Marshal(s) // a string always has a JSON form
	return string(text)
}
