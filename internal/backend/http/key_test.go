package http

import "testing"

func FuzzKeyNotation(f *testing.F) {
	f.Add("contact", "42")
	f.Add("a/b", `"],["`)
	f.Add("", "\u2028<>&")
	f.Add("x", "\xff")
	f.Fuzz(func(t *testing.T, resource, id string) {
		in := record{resource, id}
		s, err := in.encode()
		if err != nil {
			t.Fatal(err)
		}
		out, ok := decode(s)
		if ok && out != in {
			t.Errorf("%+v came back as %+v", in, out)
		}
		if ok != (in.check() == nil) {
			t.Errorf("%+v is read back: %t", in, ok)
		}
		if r, ok := decode(id); ok {
			if again, err := r.encode(); err != nil || again != id {
				t.Errorf("%q is another notation of %q", id, again)
			}
		}
	})
}
