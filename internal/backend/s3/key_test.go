package s3

import (
	"slices"
	"testing"
)

func FuzzEntryNotation(f *testing.F) {
	f.Add("v", "null", "a:b")
	f.Add("d", "x:y%3A+", "\x01 ")
	f.Add("o", "", ":")
	f.Add("u", "id", "v:null:a")
	f.Add("x", "id", "a")
	f.Fuzz(func(t *testing.T, k, id, key string) {
		in := entry{kind: kind(k), id: id, key: key}
		out, ok := parseEntry(in.text())
		if ok && out != in {
			t.Errorf("%+v came back as %+v", in, out)
		}
		good := slices.Contains(kinds, in.kind) && checkKey(key) == nil && (in.kind == kindObject) == (id == "")
		if ok != good {
			t.Errorf("%+v is read back: %t", in, ok)
		}
	})
}
