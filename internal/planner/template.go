package planner

import (
	"errors"
	"path"
	"strings"
)

// template is a path with columns in braces: literals and columns take turns, a literal first.
type template []templatePart

type templatePart struct {
	text   string
	column bool
}

var (
	errTemplateBraces  = errors.New("braces must enclose a column each, for example {tenant}/{file_name}")
	errTemplateEmpty   = errors.New("a pair of braces names no column")
	errTemplateOutside = errors.New("the path must be relative and clean: no .., no leading or trailing slash, no empty segment, no backslash, no NUL")
)

// parseTemplate reads a FileReference's path.
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
		t = append(t, templatePart{text: s[:end], column: true})
		s = s[end+1:]
	}
	return t, t.checkLiterals()
}

// checkLiterals refuses what no value could mend.
func (t template) checkLiterals() error {
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
