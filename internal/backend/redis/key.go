package redis

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/internal/backend"
)

// target is what one row stands for: a key, or one member of it. Keys and members are bytes.
type target struct {
	kind        kind
	key, member string
}

// kind is the first word of a Row.Key.
type kind string

const (
	wholeKey        kind = "Key"
	hashField       kind = "HashField"
	setMember       kind = "SetMember"
	sortedSetMember kind = "SortedSetMember"
)

// binary stands for a string that is not UTF-8.
type binary struct {
	Base64 []byte `json:"base64"`
}

// encode writes a target as a Row.Key has it, a JSON array: ["Key","session:1"], ["HashField","user:1","email"]. A key or
// member that is not valid UTF-8 is {"base64":"..."} in its place.
func (t target) encode() (string, error) {
	if t.kind == wholeKey && plain(t.key) {
		return plainBegin + t.key + plainEnd, nil
	}
	parts := []any{string(t.kind), text(t.key)}
	if t.kind != wholeKey {
		parts = append(parts, text(t.member))
	}
	out, err := json.Marshal(parts)
	return string(out), err
}

// What most rows look like is written and read without the detour of a JSON library: plans have many.
const (
	plainBegin = `["Key","`
	plainEnd   = `"]`
)

// plain texts are in JSON what they are.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || strings.IndexByte(`"\<>&`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

func text(s string) any {
	if utf8.ValidString(s) {
		return s
	}
	return binary{[]byte(s)}
}

// decode reads what encode wrote, and nothing else: a plan that names something in another way was not made here.
func decode(s string) (target, bool) {
	if begun, ok := strings.CutPrefix(s, plainBegin); ok {
		if key, ok := strings.CutSuffix(begun, plainEnd); ok && plain(key) {
			return target{kind: wholeKey, key: key}, true
		}
	}
	var parts []json.RawMessage
	if json.Unmarshal([]byte(s), &parts) != nil || len(parts) < 2 || len(parts) > 3 {
		return target{}, false
	}
	var texts [3]string
	for i, p := range parts {
		if json.Unmarshal(p, &texts[i]) == nil {
			continue
		}
		var b struct{ Base64 string }
		if i == 0 || json.Unmarshal(p, &b) != nil {
			return target{}, false
		}
		bytes, err := base64.StdEncoding.DecodeString(b.Base64)
		if err != nil {
			return target{}, false
		}
		texts[i] = string(bytes)
	}
	t := target{kind: kind(texts[0]), key: texts[1], member: texts[2]}
	switch t.kind {
	case wholeKey, hashField, setMember, sortedSetMember:
	default:
		return target{}, false
	}
	back, err := t.encode()
	return t, err == nil && back == s && t.key != "" && (t.kind == wholeKey || t.member != "")
}

// kinds of paths that are a member of a key.
var memberKinds = map[backend.PathKind]kind{
	backend.HashField: hashField, backend.SetMember: setMember, backend.SortedSetMember: sortedSetMember,
}
