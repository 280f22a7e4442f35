package certificate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxDepth of JSON that is made canonical.
	maxDepth = 32
	// maxNumber is where numbers of JavaScript, and so of RFC 8785, stop being exact.
	maxNumber = 1 << 53
)

// Canonicalize brings JSON into the form of RFC 8785, but for numbers that are not whole or beyond 2^53, which it refuses,
// and names that stand twice in an object, which it refuses too.
func Canonicalize(text []byte) ([]byte, error) {
	if !utf8.Valid(text) {
		return nil, fmt.Errorf("%w: it is not UTF-8", ErrInvalid)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var out bytes.Buffer
	if err := canonicalValue(decoder, &out, 0); err != nil {
		if !errors.Is(err, ErrInvalid) {
			err = fmt.Errorf("%w: it is not JSON, or ends in the middle", ErrInvalid)
		}
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows its end", ErrInvalid)
	}
	return out.Bytes(), nil
}

func canonicalValue(decoder *json.Decoder, out *bytes.Buffer, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: it is nested too deeply", ErrInvalid)
	}
	token, err := decoder.Token()
	if err != nil {
		return err
	}
	switch value := token.(type) {
	case json.Delim:
		if value == '{' {
			return canonicalObject(decoder, out, depth)
		}
		return canonicalArray(decoder, out, depth)
	case string:
		writeString(out, value)
	case json.Number:
		return writeNumber(out, value)
	case bool:
		out.WriteString(strconv.FormatBool(value))
	default:
		out.WriteString("null")
	}
	return nil
}

func canonicalArray(decoder *json.Decoder, out *bytes.Buffer, depth int) error {
	out.WriteByte('[')
	for n := 0; decoder.More(); n++ {
		if n > 0 {
			out.WriteByte(',')
		}
		if err := canonicalValue(decoder, out, depth+1); err != nil {
			return err
		}
	}
	out.WriteByte(']')
	_, err := decoder.Token()
	return err
}

func canonicalObject(decoder *json.Decoder, out *bytes.Buffer, depth int) error {
	members := map[string][]byte{}
	var names []string
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return err
		}
		name, ok := token.(string)
		if _, twice := members[name]; !ok || twice {
			return fmt.Errorf("%w: a name stands twice in an object", ErrInvalid)
		}
		var value bytes.Buffer
		if err := canonicalValue(decoder, &value, depth+1); err != nil {
			return err
		}
		members[name], names = value.Bytes(), append(names, name)
	}
	if _, err := decoder.Token(); err != nil {
		return err
	}
	// RFC 8785 sorts by UTF-16 code units.
	slices.SortFunc(names, func(a, b string) int { return slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b))) })
	out.WriteByte('{')
	for n, name := range names {
		if n > 0 {
			out.WriteByte(',')
		}
		writeString(out, name)
		out.WriteByte(':')
		out.Write(members[name])
	}
	out.WriteByte('}')
	return nil
}

// writeNumber takes whole numbers in their shortest form: others have no single text that all tools agree on.
func writeNumber(out *bytes.Buffer, number json.Number) error {
	n, err := strconv.ParseInt(number.String(), 10, 64)
	if err != nil || n >= maxNumber || n <= -maxNumber || strconv.FormatInt(n, 10) != number.String() {
		return fmt.Errorf("%w: a number is not whole, too great or not in its shortest form", ErrInvalid)
	}
	out.WriteString(number.String())
	return nil
}

var shortEscapes = map[rune]string{'\b': `\b`, '\t': `\t`, '\n': `\n`, '\f': `\f`, '\r': `\r`, '"': `\"`, '\\': `\\`}

func writeString(out *bytes.Buffer, text string) {
	out.WriteByte('"')
	for _, r := range text {
		switch short := shortEscapes[r]; {
		case short != "":
			out.WriteString(short)
		case r < 0x20:
			fmt.Fprintf(out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
}
