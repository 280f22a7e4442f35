package planner

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
)

func mustReference(t interface{ Fatalf(string, ...any) }, kind backend.PathKind, path, member string) reference {
	r := reference{kind: kind, text: path}
	var err error
	if r.path, err = parseTemplate(path); err == nil && member != "" {
		r.member, err = parseTemplate(member)
	}
	if err != nil {
		t.Fatalf("%q %q: %v", path, member, err)
	}
	return r
}

func TestReadings(t *testing.T) {
	for _, c := range []struct {
		kind               backend.PathKind
		path, member, name string
		want               []string
	}{
		{backend.File, "{a}/{b}", "", "x/y", []string{"x|y"}},
		{backend.File, "{a}/{b}", "", "x/y/z", []string{"x/y|z", "x|y/z"}},
		{backend.File, "{a}/{b}", "", "x", nil},
		{backend.File, "{a}/{b}", "", "x/", nil},
		{backend.File, "d/{a}-{b}.pdf", "", "d/1-2.pdf", []string{"1|2"}},
		{backend.File, "d/{a}-{b}.pdf", "", "d/1--2.pdf.pdf", []string{"1-|2.pdf", "1|-2.pdf"}},
		{backend.File, "{a}/{a}.pdf", "", "x/x.pdf", []string{"x"}},
		{backend.File, "{a}/{a}.pdf", "", "x/y.pdf", nil},
		{backend.Directory, "d/{a}", "", "d/x", []string{"x"}},
		{backend.Directory, "d/{a}", "", "d/x/y/z/", []string{"x", "x/y", "x/y/z"}},
		{backend.Prefix, "avatars/{a}-", "", "avatars/ann-1", []string{"ann"}},
		{backend.Prefix, "avatars/{a}-", "", "avatars/ann-marie-1", []string{"ann", "ann-marie"}},
		{backend.Prefix, "avatars/{a}-", "", "avatars/-", nil},
		{backend.KeyPattern, "session:{a}:*", "", "session:1:x:y", []string{"1", "1:x"}},
		{backend.KeyPattern, "s:{a}:?", "", "s:1:2:3", []string{"1:2"}},
		{backend.KeyPattern, `s:{a}:[ab\]]x`, "", "s:1:ax", []string{"1"}},
		{backend.KeyPattern, `s\*:{a}`, "", "s*:*", []string{"*"}},
		{backend.HashField, "user:{a}", "f:{b}", "user:1\x00f:2", []string{"1|2"}},
		{backend.SetMember, "team", "{a}:{b}", "team\x001:2:3", []string{"1:2|3", "1|2:3"}},
	} {
		got, ok := mustReference(t, c.kind, c.path, c.member).readings(c.name)
		var texts []string
		for _, values := range got {
			texts = append(texts, strings.Join(values, "|"))
		}
		slices.Sort(texts)
		if diff := cmp.Diff(c.want, texts); diff != "" || !ok {
			t.Errorf("%s %q as %q (-want +got), %t:\n%s", c.kind, c.path, c.name, ok, diff)
		}
	}
	if _, ok := mustReference(t, backend.Prefix, "{a}-{b}-{c}-{d}-", "").readings(strings.Repeat("-", 1000)); ok {
		t.Error("a name that can be read in a million ways is read")
	}
}

// Whatever two records hold: if both name the same, the name of the one is read as the values of the other.
func TestReadingsAreComplete(t *testing.T) {
	seen := 0
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]backend.PathKind{backend.File, backend.Directory, backend.Prefix, backend.KeyPattern, backend.SetMember}).Draw(t, "kind")
		literals := []string{"/", "-", "--", "/a", "x"}
		if kind == backend.KeyPattern {
			literals = append(literals, ":*:", `-\*`, ":?:")
		}
		path := rapid.SampledFrom([]string{"", "d/"}).Draw(t, "begin")
		n := rapid.IntRange(1, 3).Draw(t, "columns")
		for i := range n {
			path += fmt.Sprintf("{c%d}", i)
			if i+1 < n || kind == backend.Prefix || kind == backend.KeyPattern {
				path += rapid.SampledFrom(literals).Draw(t, "between")
			}
		}
		member := map[bool]string{true: "{c0}-{m}"}[kind == backend.SetMember]
		ref := mustReference(t, kind, path, member)
		value := rapid.StringOfN(rapid.RuneFrom([]rune("-/")), 1, 3, -1)
		if rapid.Bool().Draw(t, "odd") {
			value = rapid.StringOfN(rapid.RuneFrom([]rune("a-/:*x")), 1, 4, -1)
		}
		var paths [200]backend.Path
		var values [200][]string // the first record is the subject's
		for i := range values {
			row := map[string]string{}
			for _, c := range ref.distinct() {
				row[c] = value.Draw(t, "value")
				values[i] = append(values[i], row[c])
			}
			paths[i], _ = ref.fill(func(c string) (string, bool) { return row[c], true })
		}
		name := nameOf(paths[0])
		switch kind {
		case backend.Prefix:
			name += rapid.StringOfN(rapid.RuneFrom([]rune("a-/x")), 0, 4, -1).Draw(t, "rest")
		case backend.Directory:
			name += "/" + value.Draw(t, "below")
		case backend.KeyPattern:
			name = strings.NewReplacer(`\*`, "*", `\\`, `\`, "*", "q", "?", "r").Replace(name)
		}
		got, ok := ref.readings(name)
		if !ok {
			t.Fatalf("%q: too many readings", name)
		}
		for i := range values {
			if !ref.clean(paths[i]) || !leads(kind, paths[i], name) {
				continue
			}
			if !slices.Equal(values[0], values[i]) {
				seen++
			}
			if !slices.ContainsFunc(got, func(v []string) bool { return slices.Equal(v, values[i]) }) {
				t.Fatalf("%s %q: %q is named by %q and read as %q", kind, path, name, values[i], got)
			}
		}
	})
	if seen == 0 {
		t.Error("no two records with other values named the same")
	}
	t.Logf("%d records with other values named the same", seen)
}

// leads tells without the reader whether a path leads to a name.
func leads(kind backend.PathKind, p backend.Path, name string) bool {
	switch kind {
	case backend.Prefix:
		return strings.HasPrefix(name, p.Path)
	case backend.Directory:
		return name == p.Path || strings.HasPrefix(name, p.Path+"/")
	case backend.KeyPattern:
		var b strings.Builder
		for i := 0; i < len(p.Path); i++ {
			switch c := p.Path[i]; c {
			case '*':
				b.WriteString(".*")
			case '?':
				b.WriteString(".")
			case '\\':
				i++
				b.WriteString(regexp.QuoteMeta(p.Path[i : i+1]))
			default:
				b.WriteString(regexp.QuoteMeta(string(c)))
			}
		}
		return regexp.MustCompile("^" + b.String() + "$").MatchString(name)
	}
	return nameOf(p) == name
}

func TestNamesOfOthersAreNotPlanned(t *testing.T) {
	photo := func(path string, kind v1alpha1.FileKind) v1alpha1.Entity {
		return with(child("photo", deep("applicant", "applicant_id")), func(e *v1alpha1.Entity) {
			e.Files = []v1alpha1.FileReference{{Store: "docs", Path: path, Kind: kind}}
		})
	}
	avatars, cvs := photo("avatars/{name}-", v1alpha1.FileKindPrefix), photo("{folder}/{file}", v1alpha1.FileKindFile)
	for name, c := range map[string]struct {
		photo                     v1alpha1.Entity
		mine, theirs, files, want string // theirs beginning with + is of the subject, too
	}{
		"prefix":                        {avatars, "name=ann", "name=ann-marie", "avatars/ann-1 avatars/ann-marie-1", "name"},
		"prefix, without what is meant": {avatars, "name=ann", "name=ann-marie", "avatars/ann-1", ""},
		"prefix, seen from the other":   {avatars, "name=ann-marie", "name=ann", "avatars/ann-1 avatars/ann-marie-1", "name"},
		"prefix, and both are hers":     {avatars, "name=ann", "+name=ann-marie", "avatars/ann-1 avatars/ann-marie-1", ""},
		"prefix, of nobody":             {avatars, "name=ann", "name=marie", "avatars/ann-1 avatars/ann-marie-1", ""},
		"file":                          {cvs, "folder=a/b file=c", "folder=a file=b/c", "a/b/c", "file"},
		"file, seen from the other":     {cvs, "folder=a file=b/c", "folder=a/b file=c", "a/b/c", "file"},
		"file, of nobody":               {cvs, "folder=a/b file=c", "folder=a file=b", "a/b/c", ""},
		"file, that is not there":       {cvs, "folder=a/b file=c", "folder=a file=b/c", "a/c", ""},
		"folder":                        {photo("docs/{name}", v1alpha1.FileKindDirectory), "name=a", "name=a/b", "docs/a/1 docs/a/b/2", "name"},
		"kept": {with(avatars, func(e *v1alpha1.Entity) { e.Action, e.LegalBasis = v1alpha1.ActionKeep, "law" }), "name=ann", "name=ann-marie",
			"avatars/ann-marie-1", ""},
		"a record that the conditions leave out": {with(avatars, func(e *v1alpha1.Entity) { e.Conditions = in("owner", "1") }), "name=ann owner=1",
			"name=ann-marie owner=2", "avatars/ann-marie-1", "name"},
	} {
		t.Run(name, func(t *testing.T) {
			f, docs := newFake(), newFake()
			f.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
			f.insert("applicants", map[string]*string{"id": text("2"), "app_id": text("you")})
			insert := func(id, owner, values string) {
				row := map[string]*string{"id": text(id), "applicant_id": text(owner)}
				for _, pair := range strings.Fields(values) {
					column, v, _ := strings.Cut(pair, "=")
					row[column] = text(v)
				}
				f.insert("photos", row)
			}
			insert("10", "1", c.mine)
			if own, ok := strings.CutPrefix(c.theirs, "+"); ok {
				insert("20", "1", own)
			} else {
				insert("20", "2", c.theirs)
			}
			for _, file := range strings.Fields(c.files) {
				docs.files[file] = true
			}
			g := mustCompile(t, source(applicant(), c.photo))
			facts := resolveAll(g, map[string]*fakeStore{"ats": f, "docs": docs}, me, nil, nil, ResolveOptions{})
			_, err := g.Build(facts, inputFor(me, nil))
			var problem *ProblemError
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want == "":
			case !errors.As(err, &problem) || problem.Reason != v1alpha1.ReasonNameAmbiguous || problem.Entity != "photo" || problem.Column != c.want:
				t.Errorf("got %+v, want a problem of column %s", err, c.want)
			case !strings.Contains(err.Error(), c.photo.Files[0].Path) || strings.Contains(err.Error(), "marie") || strings.Contains(err.Error(), "a/b"):
				t.Errorf("the problem does not name the template, or it names a value: %v", err)
			}
		})
	}
}

func TestNamesOfAnotherEntityAreNotPlanned(t *testing.T) {
	photo := with(child("photo", deep("applicant", "applicant_id")), func(e *v1alpha1.Entity) {
		e.Files = []v1alpha1.FileReference{{Store: "docs", Path: "{path}", Kind: v1alpha1.FileKindFile}}
	})
	letter := photo
	letter.Name, letter.Table = "letter", "letters"
	letter.Files = []v1alpha1.FileReference{{Store: "docs", Path: "letters/{name}.pdf", Kind: v1alpha1.FileKindFile}}
	g := mustCompile(t, source(applicant(), photo, letter))
	for owner, want := range map[string]string{"1": "", "2": "NameAmbiguous"} {
		f, docs := newFake(), newFake()
		f.insert("applicants", map[string]*string{"id": text("1"), "app_id": text("me")})
		f.insert("photos", map[string]*string{"id": text("10"), "applicant_id": text("1"), "path": text("letters/x.pdf")})
		f.insert("letters", map[string]*string{"id": text("10"), "applicant_id": text(owner), "name": text("x")})
		docs.files["letters/x.pdf"] = true
		facts := resolveAll(g, map[string]*fakeStore{"ats": f, "docs": docs}, me, nil, nil, ResolveOptions{})
		got := ""
		for _, p := range facts.Problems {
			got = p.Reason
		}
		if got != want {
			t.Errorf("the letter of applicant %s: %+v, want %q", owner, facts.Problems, want)
		}
	}
}
