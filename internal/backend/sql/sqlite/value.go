package sqlite

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/internal/backend"
)

// A value is a JSON scalar that keeps its storage class: integers are digits alone, real numbers have a point or an
// exponent, text is a string. What JSON cannot hold is an object with one member: {"blob":"hex"}, {"text":"hex"} for
// text that is not UTF-8, {"real":"Inf"}.
type tagged struct {
	Blob *string `json:"blob,omitempty"`
	Text *string `json:"text,omitempty"`
	Real *string `json:"real,omitempty"`
}

// toValue takes what the driver delivers.
func toValue(v any) backend.Value {
	var s string
	switch v := v.(type) {
	case nil:
		return nil
	case int64:
		s = strconv.FormatInt(v, 10)
	case float64:
		s = realText(v)
	case string:
		s = stringText(v)
	case []byte:
		h := hex.EncodeToString(v)
		s = marshal(tagged{Blob: &h})
	default:
		panic("the SQLite driver delivered an unknown type")
	}
	return &s
}

func realText(v float64) string {
	s := strconv.FormatFloat(v, 'g', -1, 64)
	switch {
	case math.IsInf(v, 0) || math.IsNaN(v):
		return marshal(tagged{Real: &s})
	case strings.ContainsAny(s, ".e"):
		return s
	default:
		return s + ".0"
	}
}

func stringText(v string) string {
	if !utf8.ValidString(v) {
		h := hex.EncodeToString([]byte(v))
		return marshal(tagged{Text: &h})
	}
	return marshal(v)
}

func marshal(v any) string {
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // strings always marshal
	}
	return strings.TrimSuffix(buf.String(), "\n")
}

// fromValue is what the driver binds for a value. What is no value of ours is bound as text and equals nothing.
func fromValue(v backend.Value) any {
	if v == nil {
		return nil
	}
	s := *v
	switch {
	case strings.HasPrefix(s, `"`):
		var text string
		if json.Unmarshal([]byte(s), &text) == nil {
			return text
		}
	case strings.HasPrefix(s, "{"):
		var t tagged
		if json.Unmarshal([]byte(s), &t) == nil {
			return fromTagged(t, s)
		}
	default:
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return n
		}
		if f, err := strconv.ParseFloat(s, 64); err == nil {
			return f
		}
	}
	return s
}

func fromTagged(t tagged, s string) any {
	switch {
	case t.Blob != nil:
		if b, err := hex.DecodeString(*t.Blob); err == nil {
			return b
		}
	case t.Text != nil:
		if b, err := hex.DecodeString(*t.Text); err == nil {
			return string(b)
		}
	case t.Real != nil:
		if f, err := strconv.ParseFloat(*t.Real, 64); err == nil {
			return f
		}
	}
	return s
}

// Text is the text that SQLite would show; of a blob its hexadecimal digits.
func (*Backend) Text(v backend.Value) string {
	switch t := fromValue(v).(type) {
	case nil:
		return ""
	case string:
		return t
	case []byte:
		return hex.EncodeToString(t)
	default:
		return *v
	}
}

// FromText makes a text value; the affinity of the column makes a number of it where it should be one.
func (*Backend) FromText(text string) backend.Value {
	s := stringText(text)
	return &s
}
