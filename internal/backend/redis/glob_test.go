package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/test/redistest"
)

func TestGlobs(t *testing.T) {
	for _, c := range []struct {
		pattern string
		yes, no []string
	}{
		{"a*", []string{"a", "ab", "a\x00", "a\xff"}, []string{"", "b", "A", "ba"}},
		{"*a", []string{"a", "ba", "aa"}, []string{"", "ab"}},
		{"a*b*c", []string{"abc", "axbxc", "abbcc", "abcbc"}, []string{"ab", "acb", "abcd"}},
		{"a?", []string{"ab", "a*", "a\xff"}, []string{"a", "abc", "é"}},
		{"[ab]x", []string{"ax", "bx"}, []string{"x", "abx", "cx", "[ab]x"}},
		{"[^ab]x", []string{"cx", "^x", "\xffx"}, []string{"ax", "x"}},
		{"[a-c]x", []string{"ax", "bx", "cx"}, []string{"-x", "dx"}},
		{"[c-a]x", []string{"ax", "bx", "cx"}, []string{"-x", "dx"}},
		{`[\]\\^]x`, []string{"]x", `\x`, "^x"}, []string{"ax"}},
		{`[\a-c]x`, []string{"ax", "-x", "cx"}, []string{"bx"}},
		{"[]x", nil, []string{"x", "]x", "[]x"}},
		{"[^]x", []string{"ax", "]x"}, []string{"x"}},
		{"a**b", []string{"ab", "axb"}, []string{"a"}},
		{`\*\?\[\\x`, []string{`*?[\x`}, []string{`\*\?\[\\x`, "aa[x"}},
		{"a]b", []string{"a]b"}, []string{"ab"}},
	} {
		g, err := parse(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		for _, key := range c.yes {
			if !g.match(key) {
				t.Errorf("%s does not match %q", c.pattern, key)
			}
		}
		for _, key := range c.no {
			if g.match(key) {
				t.Errorf("%s matches %q", c.pattern, key)
			}
		}
	}
}

// TestGlobsAsRedis compares with what a real server finds by random patterns.
func TestGlobsAsRedis(t *testing.T) {
	ctx := context.Background()
	server, err := redistest.Start(ctx, redistest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Stop() }()
	client := server.Client()
	defer func() { _ = client.Close() }()
	seed := uint64(os.Getpid())
	r := rand.New(rand.NewPCG(seed, 1))
	word := func(alphabet []string, most int) (s string) {
		for range r.IntN(most + 1) {
			s += alphabet[r.IntN(len(alphabet))]
		}
		return s
	}
	keys := map[string]bool{"aa": true}
	for range 800 {
		if k := word([]string{"a", "b", "c", "-", "]", "[", "^", "*", "?", `\`, "\xc3", "\xa9"}, 5); k != "" {
			keys[k] = true
		}
	}
	for k := range keys {
		if err := client.Set(ctx, k, "", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	compared := 0
	for range 5000 {
		pattern := word([]string{"a", "b", "c", "*", "*", "?", "[", "]", "^", "-", `\`, "a-c", "[^", "[a", "\xc3", "\xa9"}, 8)
		g, err := parse(pattern)
		var refused *backend.RefusedError
		if errors.As(err, &refused) {
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		compared++
		theirs, _, err := client.Scan(ctx, 0, pattern, 100_000).Result()
		if err != nil {
			t.Fatal(err)
		}
		var ours []string
		for k := range keys {
			if g.match(k) {
				ours = append(ours, k)
			}
		}
		if g.exact && !slices.Equal(ours, []string{g.prefix}) && keys[g.prefix] {
			t.Errorf("seed %d: exact pattern %q is not %q", seed, pattern, ours)
		}
		slices.Sort(theirs)
		slices.Sort(ours)
		if !slices.Equal(ours, theirs) {
			t.Fatalf("seed %d: %q: found %q, Redis %q", seed, pattern, ours, theirs)
		}
		back, err := parse(escape(pattern))
		if err != nil || !back.exact || back.prefix != pattern {
			t.Errorf("seed %d: %q escaped is %q, %v", seed, pattern, escape(pattern), err)
		}
	}
	if compared < 500 {
		t.Errorf("only %d patterns were compared", compared)
	}
}

func FuzzKeyNotation(f *testing.F) {
	f.Add("Key", "a", "")
	f.Add("HashField", "a\xff", `"}]`)
	f.Fuzz(func(t *testing.T, k, key, member string) {
		in := target{kind(k), key, member}
		if in.kind == wholeKey {
			in.member = ""
		}
		s, err := in.encode()
		if err != nil {
			t.Fatal(err)
		}
		out, ok := decode(s)
		if ok && out != in {
			t.Errorf("%+v came back as %+v", in, out)
		}
		if good := slices.Contains([]kind{wholeKey, hashField, setMember, sortedSetMember}, in.kind); ok != (good && key != "" && (in.kind == wholeKey || member != "")) {
			t.Errorf("%+v is read back: %t", in, ok)
		}
	})
}

// Whatever a pattern is, it is read or refused; one without wildcards is one key; what is escaped is what it was.
func FuzzGlob(f *testing.F) {
	for _, s := range []string{"a*", "[a-z]", "[^]", `\*`, "[", "a[", `[\]]`, "?", "**", "[z-a]", "\xff"} {
		f.Add(s, "a")
	}
	f.Fuzz(func(t *testing.T, pattern, key string) {
		if g, err := parse(pattern); err == nil {
			if g.match(key) && !strings.HasPrefix(key, g.prefix) || g.exact && g.match(key) != (key == g.prefix) || g.exact && !g.match(g.prefix) {
				t.Errorf("%q matches %q: %t, prefix %q, exact %t", pattern, key, g.match(key), g.prefix, g.exact)
			}
		}
		if key == "" {
			return
		}
		back, err := parse(escape(key))
		if err != nil || !back.exact || back.prefix != key {
			t.Errorf("%q escaped is %q, %v", key, escape(key), err)
		}
		if around, err := parse(escape(key) + "|*"); err != nil || !around.match(key+"|x") || key != pattern && around.match(pattern) && !strings.HasPrefix(pattern, key+"|") {
			t.Errorf("%q with a wildcard behind it: %v", key, err)
		}
	})
}

func TestTooMany(t *testing.T) {
	for commands, want := range map[string]string{
		"+@all": "[all commands on all keys (+@all ~*)]", "-@all +scan +unlink": "[]", "+@all -@dangerous": "[@admin]", "-@all +@admin": "[@admin]",
		"-@all +@dangerous +info": "[@dangerous]", "+@all -@admin -@dangerous": "[]", "": "[]", "-@all +@read": "[]", "-@all +cluster|nodes": "[]",
	} {
		if got := fmt.Sprint(tooMany(commands, true)); got != want {
			t.Errorf("%s: %s, want %s", commands, got, want)
		}
	}
}
