package mysql

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

// white is what TrimLowerCase takes off, as characters of a regular expression.
const white = `[ \x09-\x0D]`

// fold is text in the normal form, as bytes. Beside ASCII text only the letters of ASCII change, so that no look-alike
// becomes one of them: read as latin1, the bytes of all others stay outside ASCII. Else the look-alikes, the Kelvin sign and
// the I with a dot, give way to what no text has.
func fold(b *core.Builder, text string, n backend.Normalization, ascii bool) string {
	if n == backend.TrimLowerCase {
		text = fmt.Sprintf("REGEXP_REPLACE(%s, %s, '')", text, bind(b, "^"+white+"+|"+white+"+$"))
	}
	if ascii {
		return "CAST(LOWER(CONVERT(CAST(" + text + " AS BINARY) USING latin1)) AS BINARY)"
	}
	text = "CONVERT(REPLACE(REPLACE(CAST(" + text + " AS BINARY), X'E284AA', X'EFB790'), X'C4B0', X'EFB791') USING utf8mb4)"
	return "CAST(LOWER(" + text + " COLLATE utf8mb4_unicode_520_ci) AS BINARY)"
}

func (dialect) InFolded(b *core.Builder, expr string, c *core.Column, values []string, n backend.Normalization, ascii bool) string {
	whole := asText(expr, c)
	list := make([]string, 0, len(values))
	var candidates []string
	for _, v := range padded(values) {
		v = bind(b, v)
		list = append(list, fold(b, "CONVERT("+v+" USING utf8mb4)", n, ascii))
		candidates = append(candidates, typed(v, c))
	}
	term := fold(b, whole, n, ascii) + " IN (" + strings.Join(list, ", ") + ")"
	if ascii && n == backend.LowerCase && foldsItself(c) { // an index finds those that can be it
		term = expr + " IN (" + strings.Join(candidates, ", ") + ") AND " + term
	}
	return "(" + term + ")"
}

// caseless are collations by which a letter of ASCII is the same in upper and lower case, whatever stands beside it.
var caseless = regexp.MustCompile(`^(?:latin1_swedish|utf8(?:mb[34])?_(?:general|unicode|unicode_520|0900_a[is]|uca1400_a[is]|uca1400_nopad_a[is]))(?:_nopad)?_ci$`)

// foldsItself tells whether a plain index on the column finds ASCII text in any case.
func foldsItself(c *core.Column) bool { return c.Category == text && caseless.MatchString(c.Collation) }

// ContainsWord looks for the word first, which is fast, and for what stands around it where there is one. Regular
// expressions are for text, so bytes are read as latin1, of which each is a character.
func (dialect) ContainsWord(b *core.Builder, text string, words []string, folded bool) string {
	ascii := core.AllASCII(words)
	plain := func(s string) string {
		if folded {
			return fold(b, s, backend.LowerCase, ascii)
		}
		return bytesOf(s)
	}
	given := func(s string) string { return plain("CONVERT(" + bind(b, s) + " USING utf8mb4)") }
	chars := func(s string) string { return "CONVERT(" + s + " USING latin1) COLLATE latin1_bin" }
	whole := plain(text)
	var terms []string
	for _, w := range padded(words) {
		terms = append(terms, fmt.Sprintf("(LOCATE(%s, %s) > 0 AND %s REGEXP %s)", given(w), whole, chars(whole), chars(given(core.WordPattern(w)))))
	}
	return "(" + strings.Join(terms, " OR ") + ")"
}
