package certificate

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"pgregory.net/rapid"
)

func read(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("../../test/standardtools/testdata/certificate.json")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// From RFC 8785, section 3.2, and what this package refuses because tools differ on it.
func TestCanonicalForm(t *testing.T) {
	g := NewWithT(t)
	for text, want := range map[string]string{
		` { "b" : [ 1 , true, null ] , "a" : "x" } `:                                  `{"a":"x","b":[1,true,null]}`,
		`"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/"`:                             `"€$\u000f\nA'B\"\\\\\"/"`,
		`"\u2028\u2029\u007f"`:                                                        "\"\u2028\u2029\u007f\"",
		`{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}`: "{\"\\r\":2,\"1\":4,\"\u0080\":6,\"ö\":7,\"€\":1,\"\U0001f600\":5,\"\ufb33\":3}",
		`-9007199254740991`:                                                           `-9007199254740991`,
	} {
		found, err := Canonicalize([]byte(text))
		g.Expect(err).NotTo(HaveOccurred(), text)
		g.Expect(string(found)).To(Equal(want))
	}
	for _, bad := range []string{"", "{", `{"a":1`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, "1.5", "1e3", "01", "-0", "9007199254740992", `{"a":1} x`, "\"\xff\"", "nul",
		strings.Repeat("[", 100) + strings.Repeat("]", 100)} {
		_, err := Canonicalize([]byte(bad))
		g.Expect(err).To(MatchError(ErrInvalid), bad)
	}
}

// What is accepted has one meaning: nothing can be added that is not checked, whatever a reader makes of it.
func TestOnlyTheFormIsAccepted(t *testing.T) {
	g := NewWithT(t)
	file := read(t)
	d, err := Parse(file)
	g.Expect(err).NotTo(HaveOccurred())
	_, _, err = d.CheckEntry()
	g.Expect(err).NotTo(HaveOccurred())
	var compact bytes.Buffer
	g.Expect(json.Compact(&compact, file)).To(Succeed())
	_, err = Parse(compact.Bytes())
	g.Expect(err).NotTo(HaveOccurred(), "white space does not matter")
	for from, into := range map[string]string{
		`"result": "Erased"`:                `"result": "Erased", "Result": "Retained"`,
		`"number": 1`:                       `"number": 2, "number": 1`,
		`"format":`:                         `"comment": "all is well", "format":`,
		`"namespace": "`:                    `"remark": 1, "namespace": "`,
		`"timeline": [`:                     `"timeline": null, "x": [`,
		`"issuedAt": "2026-03-01T12:00:00Z`: `"issuedAt": "2026-03-01T12:00:00.000Z`,
		`"dueAt"`:                           `"DueAt"`,
		`/v1",`:                             `/v2",`,
		`"number": 1,`:                      ``,
	} {
		changed := bytes.Replace(file, []byte(from), []byte(into), 1)
		g.Expect(changed).NotTo(Equal(file), from)
		_, err := Parse(changed)
		g.Expect(err).To(MatchError(ErrInvalid), into)
	}
	_, err = Parse(file[:len(file)/2])
	g.Expect(err).To(MatchError(ContainSubstring("ends in the middle")))
	_, err = Parse(append(file, file...))
	g.Expect(err).To(MatchError(ErrInvalid))
}

// Any changed byte that leaves a certificate readable and of another meaning is found by the digest.
func TestEveryChangeOfMeaningIsFound(t *testing.T) {
	file := read(t)
	begin, end := bytes.Index(file, []byte(`"certificate"`)), bytes.Index(file, []byte(`"entry"`))
	rapid.Check(t, func(t *rapid.T) {
		changed := bytes.Clone(file)
		changed[rapid.IntRange(begin, end-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		d, err := Parse(changed)
		if err == nil {
			_, _, err = d.CheckEntry()
		}
		if err == nil {
			before, _ := Canonicalize(file)
			after, _ := Canonicalize(changed)
			if !bytes.Equal(before, after) {
				t.Fatalf("not found")
			}
		}
	})
}

func TestBodyComesBackAsItWas(t *testing.T) {
	g := NewWithT(t)
	until := time.Date(2035, 3, 14, 0, 0, 0, 0, time.UTC)
	b := &Body{Number: 2, Replaces: "sha256:00", IssuedAt: until, Ledger: "lethe.dev/x/hr", Namespace: "hr", Result: ResultRetained,
		Request:  Request{UID: "u", Handle: "h", Scope: "Bewerbung <&> Ωmega \u2028"},
		Timeline: []Event{{EventReceived, until}}, DueAt: until, Retained: []Retained{{Category: "Rechnung", Entity: "m/e", Count: 3, Basis: "§ 147 AO", Until: &until}, {Category: "x"}},
		Actors: []Actor{{Role: RoleExecutor, Known: ActorKnown, Name: "lethe"}}}
	canonical, err := b.Canonical()
	g.Expect(err).NotTo(HaveOccurred())
	back, err := ReadBody(canonical)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(back).To(Equal(b))
}

func FuzzParse(f *testing.F) {
	f.Add(read(f))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := Parse(text)
		if err != nil {
			return
		}
		_, _, _ = d.CheckEntry()
		_, _, _, _ = d.ReadProof()
	})
}
