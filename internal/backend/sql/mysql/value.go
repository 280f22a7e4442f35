package mysql

import (
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// Categories of columns.
const (
	text     = "text"
	enum     = "enum" // and set
	integer  = "integer"
	unsigned = "unsigned"
	decimal  = "decimal"
	single   = "float"
	double   = "double"
	bit      = "bit"
	year     = "year"
	datetime = "datetime" // date and timestamp too
	daytime  = "time"
	binary   = "binary"
	spatial  = "spatial"
	document = "json"
	other    = "other" // types of their own that are written as text, such as uuid and inet6
)

var categories = map[string]string{
	"char": text, "varchar": text, "tinytext": text, "text": text, "mediumtext": text, "longtext": text,
	"enum": enum, "set": enum,
	"tinyint": integer, "smallint": integer, "mediumint": integer, "int": integer, "bigint": integer,
	"decimal": decimal, "float": single, "double": double, "bit": bit, "year": year,
	"date": datetime, "datetime": datetime, "timestamp": datetime, "time": daytime,
	"binary": binary, "varbinary": binary, "tinyblob": binary, "blob": binary, "mediumblob": binary, "longblob": binary,
	"geometry": spatial, "point": spatial, "linestring": spatial, "polygon": spatial, "multipoint": spatial,
	"multilinestring": spatial, "multipolygon": spatial, "geometrycollection": spatial, "geomcollection": spatial,
	"json": document,
}

// category of a column by its type without and with length.
func category(dataType, columnType string) string {
	c, ok := categories[strings.ToLower(dataType)]
	switch {
	case !ok:
		return other
	case c == integer && strings.Contains(columnType, "unsigned"):
		return unsigned
	}
	return c
}

var (
	wholeNumber   = regexp.MustCompile(`^[+-]?[0-9]+$`)
	decimalNumber = regexp.MustCompile(`^([+-]?)0*([0-9]*)(?:\.([0-9]*?)0*)?$`)
	floatNumber   = regexp.MustCompile(`^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$`)
	dateTime      = regexp.MustCompile(`^([0-9]{4})-([0-9]{2})-([0-9]{2})(?:[ T]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.[0-9]{1,6})?)?)?$`)
	timeOfDay     = regexp.MustCompile(`^-?[0-9]{2,3}:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?$`)
	numbers       = regexp.MustCompile(`\((\d+)(?:,(\d+))?\)`)
)

// operand is plain text, or a value that was read, in the form in which typed takes it. What the server would cut or
// guess until it is like another value is an error.
func operand(c *core.Column, s string) (string, error) {
	ok := utf8.ValidString(s)
	switch c.Category {
	case integer:
		n, err := strconv.ParseInt(s, 10, 64)
		s, ok = strconv.FormatInt(n, 10), err == nil && wholeNumber.MatchString(s)
	case unsigned, bit, year:
		n, err := strconv.ParseUint(strings.TrimPrefix(s, "+"), 10, 64)
		s, ok = strconv.FormatUint(n, 10), err == nil && wholeNumber.MatchString(s)
	case decimal:
		m := decimalNumber.FindStringSubmatch(s)
		places := scale(c)
		ok = m != nil && strings.ContainsAny(s, "0123456789") && len(m[2]) <= maxDigits-places && len(m[3]) <= places
		if ok {
			s = m[1] + "0" + m[2] + "." + m[3] + "0"
		}
	case single, double:
		bits := 64
		if c.Category == single {
			bits = 32
		}
		f, err := strconv.ParseFloat(s, bits)
		ok = err == nil && floatNumber.MatchString(s) && !math.IsInf(f, 0)
		s = strconv.FormatFloat(f, 'e', -1, 64)
	case datetime:
		s, ok = pointInTime(s)
	case daytime:
		ok = timeOfDay.MatchString(s)
	case binary, spatial:
		s = hexOf(s)
	}
	if !ok {
		return "", &backend.RefusedError{
			Problem: fmt.Sprintf("a value does not fit column %q, which is of type %s", c.Name, c.Type),
			Remedy:  "compare columns, identities and conditions of the data map with the types of the table",
		}
	}
	return s, nil
}

// maxDigits of a DECIMAL.
const maxDigits = 65

// scale is with how many decimal places a DECIMAL column is compared: as many as there are beside its whole digits.
func scale(c *core.Column) int {
	const maxScale = 30
	whole := maxDigits
	if m := numbers.FindStringSubmatch(c.Stored); m != nil {
		digits, _ := strconv.Atoi(m[1])
		places, _ := strconv.Atoi(m[2])
		whole = digits - places
	}
	return min(maxScale, maxDigits-whole)
}

// pointInTime is text as a DATETIME in UTC. MySQL's zero dates stay as they are.
func pointInTime(s string) (string, bool) {
	if m := dateTime.FindStringSubmatch(s); m != nil {
		month, day := m[2], m[3]
		if month == "00" || day == "00" {
			return s, month <= "12" && day <= "31" && m[4] <= "23" && m[5] <= "59" && m[6] <= "59"
		}
	}
	c := core.ParseClock(s)
	if !c.Valid || c.Time.Nanosecond()%1000 != 0 {
		return "", false
	}
	return c.Time.Format("2006-01-02 15:04:05.000000"), true
}

// hexPrefix marks bytes in hexadecimal; what does not have it is text, of which the bytes are taken.
const hexPrefix = `\x`

func hexOf(s string) string {
	if digits, ok := strings.CutPrefix(s, hexPrefix); ok {
		if _, err := hex.DecodeString(digits); err == nil {
			return strings.ToUpper(digits)
		}
	}
	return strings.ToUpper(hex.EncodeToString([]byte(s)))
}

// toValue takes what the driver delivers for a column.
func toValue(raw []byte, c *core.Column) backend.Value {
	if raw == nil {
		return nil
	}
	s := string(raw)
	if c.Category == binary || c.Category == spatial {
		s = hexPrefix + hex.EncodeToString(raw)
	}
	return &s
}

// Text is the value as the server writes it; bytes are \x and their hexadecimal digits.
func (*Backend) Text(v backend.Value) string {
	if v == nil {
		return ""
	}
	return *v
}

// FromText is the text itself: what it means is up to the column.
func (*Backend) FromText(text string) backend.Value { return &text }
