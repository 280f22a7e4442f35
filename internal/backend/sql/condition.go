package sql

import (
	"fmt"

	"github.com/lethe-dev/lethe/internal/backend"
)

// conditions is true where all hold, and false, never NULL, elsewhere.
func (c *Compiler) conditions(b *Builder, alias string, t backend.Table, conds []backend.Condition) (string, error) {
	terms := make([]string, 0, len(conds))
	for _, cond := range conds {
		term, err := c.condition(b, alias, t, cond)
		if err != nil {
			return "", err
		}
		terms = append(terms, term)
	}
	return and(terms), nil
}

func (c *Compiler) condition(b *Builder, alias string, t backend.Table, cond backend.Condition) (string, error) {
	expr, col, err := c.column(alias, t, cond.Column)
	if err != nil {
		return "", err
	}
	switch cond.Operator {
	case backend.Exists:
		return expr + " IS NOT NULL", nil
	case backend.DoesNotExist:
		return expr + " IS NULL", nil
	case backend.In:
		if len(cond.Values) == 0 {
			return or(nil), nil
		}
		in := c.Dialect.InText(b, []string{expr}, []*Column{col}, asRows(cond.Values))
		return "(" + expr + " IS NOT NULL AND " + in + ")", nil
	case backend.NotIn:
		if len(cond.Values) == 0 {
			return and(nil), nil
		}
		return "(" + expr + " IS NULL OR " + c.Dialect.NotInText(b, expr, col, cond.Values) + ")", nil
	case backend.LessThan, backend.GreaterThan:
		if len(cond.Values) != 1 {
			return "", &backend.RefusedError{
				Problem: fmt.Sprintf("condition on column %q: %s needs exactly one value", cond.Column, cond.Operator),
				Remedy:  "correct the data map",
			}
		}
		sign := " < "
		if cond.Operator == backend.GreaterThan {
			sign = " > "
		}
		cmp := c.Dialect.Operand(expr, col) + sign + c.Dialect.Constant(b, col, cond.Values[0])
		return "(" + expr + " IS NOT NULL AND " + cmp + ")", nil
	default:
		return "", &backend.RefusedError{
			Problem: fmt.Sprintf("condition on column %q: unknown operator %q", cond.Column, cond.Operator),
			Remedy:  "use In, NotIn, Exists, DoesNotExist, LessThan or GreaterThan",
		}
	}
}

// unless is true where no group of conditions holds.
func (c *Compiler) unless(b *Builder, alias string, t backend.Table, groups [][]backend.Condition) (string, error) {
	terms := make([]string, 0, len(groups))
	for _, g := range groups {
		term, err := c.conditions(b, alias, t, g)
		if err != nil {
			return "", err
		}
		terms = append(terms, "NOT "+term)
	}
	return and(terms), nil
}

func asRows(values []string) [][]string {
	rows := make([][]string, len(values))
	for i, v := range values {
		rows[i] = []string{v}
	}
	return rows
}
