package sqlite

import (
	"bytes"
	"math"
	"testing"
)

// Every value that the driver delivers is bound again as what it was, and is not taken for another one.
func FuzzValue(f *testing.F) {
	f.Add("text", []byte{0, 255}, int64(-1), 1e300)
	f.Add(`{"blob":"00"}`, []byte(`{"text":"00"}`), int64(math.MaxInt64), math.Inf(1))
	f.Add("\xff", []byte(nil), int64(0), 0.1)
	f.Add("<&>\u2028", []byte("x"), int64(1), math.Copysign(0, -1))
	f.Fuzz(func(t *testing.T, text string, blob []byte, number int64, real float64) {
		seen := map[string]bool{}
		for _, v := range []any{text, blob, number, real} {
			value := toValue(v)
			if value == nil || seen[*value] {
				t.Fatalf("%#v is %v", v, value)
			}
			seen[*value] = true
			switch back := fromValue(value).(type) {
			case []byte:
				if in, ok := v.([]byte); !ok || !bytes.Equal(in, back) {
					t.Errorf("%#v came back as %#v", v, back)
				}
			case float64:
				if in, ok := v.(float64); !ok || math.Float64bits(in) != math.Float64bits(back) && !math.IsNaN(in) {
					t.Errorf("%#v came back as %#v", v, back)
				}
			default:
				if back != v {
					t.Errorf("%#v came back as %#v", v, back)
				}
			}
		}
		_ = fromValue(&text) // what is no value of ours is bound all the same
	})
}
