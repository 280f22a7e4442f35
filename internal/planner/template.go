package planner

import (
	"errors"
	"path"
	"strings"
)

// template is a text with columns in braces: literals and columns take turns, a literal first.
type template []templatePart

type templatePart struct {
	text   string
	column bool
}

var (
	errTemplateBraces  = errors.New("braces must enclose a column each, for example {tenant}/{file_name}")
	errTemplateEmpty   = errors.New("a pair of braces names no column")
	errTemplateJoined  = errors.New("two columns stand side by side, so that different records could name the same; put something between them")
	errPrefixOpen      = errors.New("a prefix must end with a character that separates it from the longer names of others, for example a slash after the last column")
	errPatternOpen     = errors.New("a wildcard beside a column would match the longer values of others; put a separator between them, for example session:{id}:*")
	errTemplateOutside = errors.New("the path must be relative and clean: no .., no leading or trailing slash, no empty segment, no backslash, no NUL")
)

// parseTemplate reads a template.
func parseTemplate(s string) (template, error) {
	var t template
	for s != "" {
		open := strings.IndexAny(s, "{}")
		if open < 0 {
			t = append(t, templatePart{text: s})
			break
		}
		if s[open] == '}' {
			return nil, errTemplateBraces
		}
		if open > 0 {
			t = append(t, templatePart{text: s[:open]})
		}
		s = s[open+1:]
		end := strings.IndexAny(s, "{}")
		if end < 0 || s[end] == '{' {
			return nil, errTemplateBraces
		}
		if strings.TrimSpace(s[:end]) == "" {
			return nil, errTemplateEmpty
		}
		if len(t) > 0 && t[len(t)-1].column {
			return nil, errTemplateJoined
		}
		t = append(t, templatePart{text: s[:end], column: true})
		s = s[end+1:]
	}
	return t, nil
}

// checkPath refuses the path of a file that no value could make clean.
func (t template) checkPath() error {
	for _, p := range t {
		if !p.column && (strings.Contains(p.text, "..") || strings.ContainsAny(p.text, "\\\x00")) {
			return errTemplateOutside
		}
	}
	// With a harmless value in each place the path must be clean.
	sample, ok := t.fill(func(string) (string, bool) { return "x", true })
	if !ok || !cleanPath(sample) {
		return errTemplateOutside
	}
	return nil
}

// columns lists the columns that the template needs.
func (t template) columns() []string {
	var cols []string
	for _, p := range t {
		if p.column {
			cols = append(cols, p.text)
		}
	}
	return cols
}

// fill puts values into the template; false means that a column is NULL or empty, so that there is no file. The result
// still has to pass cleanPath.
func (t template) fill(value func(column string) (string, bool)) (string, bool) {
	var b strings.Builder
	for _, p := range t {
		text := p.text
		if p.column {
			v, ok := value(p.text)
			if !ok || v == "" {
				return "", false
			}
			text = v
		}
		b.WriteString(text)
	}
	return b.String(), true
}

// cleanPath tells whether a path is relative, stays inside its root and can be written in one way only.
func cleanPath(p string) bool {
	return p != "" && p != "." && p != ".." && !strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "../") &&
		!strings.ContainsAny(p, "\\\x00") && path.Clean(p) == p
}
