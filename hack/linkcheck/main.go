// Command linkcheck fails if a link of the repository's Markdown leads to no file, or to no heading of it. Links to other sites
// are not followed.
package main

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"unicode"
)

var (
	link    = regexp.MustCompile(`\]\(([^()\s]+(?:\([^()\s]*\)[^()\s]*)?)(?:\s+"[^"]*")?\)`)
	code    = regexp.MustCompile("`+[^`]*`+")
	heading = regexp.MustCompile(`^#{1,6}\s+(.*?)\s*#*\s*$`)
	markup  = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
	anchor  = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
)

func main() {
	out, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "*.md").Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "git ls-files:", err)
		os.Exit(2)
	}
	files := strings.FieldsFunc(string(out), func(r rune) bool { return r == 0 })
	c := checker{anchors: map[string]map[string]bool{}}
	for _, f := range files {
		c.check(f)
	}
	for _, p := range c.problems {
		fmt.Fprintln(os.Stderr, p)
	}
	fmt.Printf("%d links in %d files, %d dead\n", c.links, len(files), len(c.problems))
	if len(c.problems) > 0 || c.links == 0 {
		os.Exit(1)
	}
}

type checker struct {
	anchors  map[string]map[string]bool
	links    int
	problems []string
}

// lines outside of fenced blocks, by their number from 1.
func lines(file string) map[int]string {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	all := map[int]string{}
	fence := ""
	for i, line := range strings.Split(string(text), "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case fence == "" && (strings.HasPrefix(trimmed, "```") || strings.HasPrefix(trimmed, "~~~")):
			fence = trimmed[:3]
		case fence != "" && strings.HasPrefix(trimmed, fence):
			fence = ""
		case fence == "":
			all[i+1] = line
		}
	}
	return all
}

func (c *checker) check(file string) {
	for n, line := range lines(file) {
		for _, m := range link.FindAllStringSubmatch(code.ReplaceAllString(line, ""), -1) {
			u, err := url.Parse(m[1])
			if err == nil && (u.Scheme != "" || u.Host != "") {
				continue
			}
			c.links++
			if err != nil || !c.leads(file, u) {
				c.problems = append(c.problems, fmt.Sprintf("%s:%d: dead link %s", file, n, m[1]))
			}
		}
	}
}

func (c *checker) leads(file string, u *url.URL) bool {
	target := file
	if u.Path != "" {
		target = filepath.Join(filepath.Dir(file), u.Path)
	}
	info, err := os.Stat(target)
	if err != nil || u.Fragment == "" {
		return err == nil
	}
	if info.IsDir() {
		target = filepath.Join(target, "README.md")
	}
	return !strings.HasSuffix(target, ".md") || c.of(target)[u.Fragment]
}

// of are the anchors that GitHub makes of a file's headings, and those that it has itself.
func (c *checker) of(file string) map[string]bool {
	if known, has := c.anchors[file]; has {
		return known
	}
	found, times := map[string]bool{}, map[string]int{}
	c.anchors[file] = found
	byNumber := lines(file)
	last := 0
	for n := range byNumber {
		last = max(last, n)
	}
	for n := 1; n <= last; n++ {
		for _, m := range anchor.FindAllStringSubmatch(byNumber[n], -1) {
			found[m[1]] = true
		}
		m := heading.FindStringSubmatch(byNumber[n])
		if m == nil {
			continue
		}
		s := slug(m[1])
		if n := times[s]; n > 0 {
			found[fmt.Sprintf("%s-%d", s, n)] = true
		} else {
			found[s] = true
		}
		times[s]++
	}
	return found
}

func slug(title string) string {
	title = markup.ReplaceAllString(title, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, title)
}
