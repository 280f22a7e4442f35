package postgresql

import (
	"fmt"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
	core "github.com/lethe-dev/lethe/internal/backend/sql"
)

var (
	_ core.Arrays    = dialect{}
	_ backend.Arrays = (*Backend)(nil)
)

// ElementColumn of an array is a column of its elements' type; nil for what is none.
func (dialect) ElementColumn(c *core.Column) *core.Column {
	element, ok := strings.CutSuffix(c.Type, "[]")
	if !ok || c.Category != categoryArray {
		return nil
	}
	return &core.Column{Name: c.Name, Type: element, Stored: element, Collation: c.Collation}
}

// HasElement casts the column, which an array of a domain needs, and for any other type is nothing.
func (dialect) HasElement(b *core.Builder, expr string, c *core.Column, values []string) string {
	return fmt.Sprintf("(%s::%s && $%d::text[]::%s)", exactly(expr, c), c.Type, b.Bind(values), c.Type)
}

func (dialect) AnyElement(expr, element, test string) string {
	return fmt.Sprintf("EXISTS (SELECT FROM unnest(%s) AS e(%s) WHERE %s)", expr, element, test)
}

// HasElementOf gathers the values first, so that an index on the elements serves.
func (d dialect) HasElementOf(expr string, c *core.Column, value string, vc *core.Column, from string) string {
	array, element := d.compare(expr, c, value, vc)
	return fmt.Sprintf("(%s && ARRAY(SELECT %s %s))", array, element, from)
}

func (d dialect) ElementOf(value string, vc *core.Column, expr string, c *core.Column) string {
	array, element := d.compare(expr, c, value, vc)
	return fmt.Sprintf("(%s @> ARRAY[%s])", array, element)
}

func (d dialect) InElementsOf(value string, vc *core.Column, arrays string, c *core.Column, from string) string {
	array, element := d.compare(arrays, c, value, vc)
	return fmt.Sprintf("%s IN (SELECT unnest(%s) %s)", element, array, from)
}

// compare makes an array and a value comparable: what has not the same type is compared as text.
func (d dialect) compare(array string, c *core.Column, value string, vc *core.Column) (string, string) {
	if d.ElementColumn(c).Type == vc.Type {
		return array + "::" + c.Type, value + "::" + vc.Type
	}
	return array + "::text[]", value + "::text"
}

// named tests whether the element e.e, one column also of a composite type, is one of the texts of a JSON array, as Elements reads it: a cast to text makes something
// else of some types, of a boolean for example.
func named(v string) string {
	return fmt.Sprintf("pg_catalog.format('%%s', e.e) = ANY (ARRAY(SELECT pg_catalog.jsonb_array_elements_text(%s::jsonb)))", v)
}

// WithoutElements leaves an array of several dimensions, or that begins elsewhere, as it is: it would become another one.
func (d dialect) WithoutElements(expr, v string, c *core.Column) string {
	return fmt.Sprintf("CASE WHEN %s OR pg_catalog.array_ndims(%s) <> 1 OR pg_catalog.array_lower(%s, 1) <> 1 THEN %s "+
		"ELSE ARRAY(SELECT e.e FROM (SELECT unnest(%s) AS e, pg_catalog.generate_subscripts(%s, 1) AS n) AS e "+
		"WHERE e.e IS NOT DISTINCT FROM NULL OR NOT (%s) ORDER BY e.n)::%s END",
		d.KeepsElements(expr, v, c), expr, expr, expr, expr, expr, named(v), c.Type)
}

func (dialect) KeepsElements(expr, v string, _ *core.Column) string {
	return fmt.Sprintf("NOT EXISTS (SELECT FROM (SELECT unnest(%s) AS e) AS e WHERE e.e IS DISTINCT FROM NULL AND %s)", expr, named(v))
}

// Elements reads the server's notation: {a,"b c",NULL}.
func (*Backend) Elements(v backend.Value) ([]string, bool) {
	if v == nil || len(*v) < 2 || (*v)[0] != '{' || (*v)[len(*v)-1] != '}' {
		return nil, false
	}
	elements := []string{}
	for rest := (*v)[1 : len(*v)-1]; rest != ""; {
		element, quoted, behind := nextElement(rest)
		if !quoted && strings.ContainsAny(element, "{}") || behind == "," {
			return nil, false // of several dimensions
		}
		if quoted || !strings.EqualFold(element, "NULL") {
			elements = append(elements, element)
		}
		rest = strings.TrimPrefix(behind, ",")
	}
	return elements, true
}

// nextElement reads up to the next comma.
func nextElement(s string) (element string, quoted bool, rest string) {
	if s[0] != '"' {
		end := strings.IndexByte(s, ',')
		if end < 0 {
			end = len(s)
		}
		return s[:end], false, s[end:]
	}
	var b strings.Builder
	i := 1
	for ; i < len(s) && s[i] != '"'; i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String(), true, s[min(i+1, len(s)):]
}
