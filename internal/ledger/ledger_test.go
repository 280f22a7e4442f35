package ledger_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/internal/ledger"
)

const (
	logName    = "lethe.dev/test"
	originLine = "lethe.dev/test/hr"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)

func newSigner(t rapid.TB, seed byte) *ledger.Signer {
	t.Helper()
	s, err := ledger.NewSigner(logName, bytes.Repeat([]byte{seed}, 32))
	if err == nil {
		s, err = s.Named(originLine)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func verifierOf(t rapid.TB, s *ledger.Signer) note.Verifier {
	t.Helper()
	v, err := note.NewVerifier(s.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func entry(i int) ledger.Entry {
	return ledger.Entry{
		Key: fmt.Sprintf("er-%d/outcome", i), Time: start.Add(time.Duration(i) * time.Second), Kind: ledger.KindErasureOutcome,
		Handle: "k3v9x2", Run: "run-1", Counts: []ledger.Count{{Store: "ats", Entity: "notes", Action: "Delete", Count: int64(i)}},
		Attributes: map[string]string{"b": "2", "a": "1"},
	}
}

// build makes a log in memory: its records and its checkpoint at every size.
func build(t rapid.TB, signer *ledger.Signer, leaves [][]byte) ([]ledger.Record, []ledger.SignedCheckpoint) {
	t.Helper()
	var tree ledger.Tree
	var records []ledger.Record
	checkpoints := make([]ledger.SignedCheckpoint, 0, len(leaves)+1)
	for i := 0; ; i++ {
		c, err2 := ledger.Checkpoint{OriginLine: originLine, Size: tree.Size(), Root: tree.Root()}.Sign(signer)
		if err2 != nil {
			t.Fatal(err2)
		}
		checkpoints = append(checkpoints, c)
		if i == len(leaves) {
			return records, checkpoints
		}
		records = append(records, ledger.Record{Index: uint64(i), Leaf: leaves[i]})
		tree, _ = tree.With(ledger.LeafHash(leaves[i]))
	}
}

func sequence(records []ledger.Record) iter.Seq2[ledger.Record, error] {
	return func(yield func(ledger.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func leavesOf(t rapid.TB, n int) [][]byte {
	t.Helper()
	leaves := make([][]byte, n)
	for i := range leaves {
		var err error
		if leaves[i], err = ledger.EncodeLeaf(entry(i)); err != nil {
			t.Fatal(err)
		}
	}
	return leaves
}

func renumber(records []ledger.Record) []ledger.Record {
	for i := range records {
		records[i].Index = uint64(i)
	}
	return records
}

// Promise 8: whoever has the public key and an earlier checkpoint finds every change.
func TestTamperingIsFound(t *testing.T) {
	signer, stranger := newSigner(t, 1), newSigner(t, 2)
	verifier := verifierOf(t, signer)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 40).Draw(t, "size")
		records, checkpoints := build(t, signer, leavesOf(t, n))
		known := rapid.IntRange(1, n).Draw(t, "known")
		evidence := ledger.Evidence{OriginLine: originLine, Verifier: verifier, Current: checkpoints[n].Note,
			Earlier: []ledger.Checkpoint{checkpoints[known].Checkpoint}}
		if err := ledger.VerifyRecords(evidence, sequence(records)); err != nil {
			t.Fatalf("the honest log was refused: %v", err)
		}

		at := rapid.IntRange(0, n-1).Draw(t, "at")
		forged := make([]ledger.Record, n)
		for i, r := range records {
			forged[i] = ledger.Record{Index: r.Index, Leaf: bytes.Clone(r.Leaf)}
		}
		switch what := rapid.SampledFrom([]string{"flip", "drop", "reorder", "insert", "truncate", "truncate and sign", "rewrite", "rewrite with new key",
			"forge checkpoint"}).Draw(t, "what"); what {
		case "flip":
			forged[at].Leaf[rapid.IntRange(0, len(forged[at].Leaf)-1).Draw(t, "byte")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		case "drop":
			forged = renumber(append(forged[:at:at], forged[at+1:]...))
		case "reorder":
			other := rapid.IntRange(0, n-1).Filter(func(i int) bool { return i != at }).Draw(t, "other")
			forged[at], forged[other] = forged[other], forged[at]
			forged = renumber(forged)
		case "insert":
			extra, _ := ledger.EncodeLeaf(entry(1000))
			forged = renumber(append(forged[:at:at], append([]ledger.Record{{Leaf: extra}}, forged[at:]...)...))
		case "truncate":
			forged = forged[:at]
		case "truncate and sign": // by the owner of the key, to before what is known
			size := rapid.IntRange(0, known-1).Draw(t, "to")
			forged, evidence.Current = forged[:size], checkpoints[size].Note
		case "rewrite": // by the owner of the key, from what was known
			leaves := leavesOf(t, n)
			leaves[rapid.IntRange(0, known-1).Draw(t, "changed")], _ = ledger.EncodeLeaf(entry(1000))
			var again []ledger.SignedCheckpoint
			forged, again = build(t, signer, leaves)
			evidence.Current = again[n].Note
		case "rewrite with new key":
			var again []ledger.SignedCheckpoint
			forged, again = build(t, stranger, leavesOf(t, n))
			evidence.Current = again[n].Note
		case "forge checkpoint":
			evidence.Current = bytes.Replace(evidence.Current, fmt.Appendf(nil, "\n%d\n", n), fmt.Appendf(nil, "\n%d\n", n+1), 1)
		}
		if err := ledger.VerifyRecords(evidence, sequence(forged)); err == nil {
			t.Fatalf("not found")
		} else if tampered := (*ledger.TamperedError)(nil); !asTampered(err, &tampered) {
			t.Fatalf("found, but not as tampering: %v", err)
		}
	})
}

func asTampered(err error, target **ledger.TamperedError) bool {
	return errors.As(err, target)
}

func TestTamperingIsLocated(t *testing.T) {
	g := NewWithT(t)
	signer := newSigner(t, 1)
	records, checkpoints := build(t, signer, leavesOf(t, 30))
	evidence := ledger.Evidence{OriginLine: originLine, Verifier: verifierOf(t, signer), Current: checkpoints[30].Note,
		Earlier: []ledger.Checkpoint{checkpoints[10].Checkpoint, checkpoints[20].Checkpoint}}
	records[15].Leaf, _ = ledger.EncodeLeaf(entry(99))
	err := ledger.VerifyRecords(evidence, sequence(records))
	g.Expect(err).To(MatchError(ledger.ErrForked))
	g.Expect(err).To(MatchError(HavePrefix("entries 10 to 20: ")))
}

func TestLeafIsCanonicalAndItsFormatStays(t *testing.T) {
	g := NewWithT(t)
	text, err := ledger.EncodeLeaf(ledger.Entry{
		Key: "k", Time: start.In(time.FixedZone("x", 7200)), Kind: "erasure.outcome", Handle: "h", Run: "r", Step: "s", Reason: "R <&>", Actor: "a",
		Counts:     []ledger.Count{{Store: "s", Entity: "e", Category: "c", Action: "Delete", Basis: "b", Count: 3}, {}},
		Attributes: map[string]string{"z": "1", "a": "2"},
	})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(text)).To(Equal(`{"v":1,"key":"k","time":"2026-03-01T12:00:00.000000005Z","kind":"erasure.outcome","handle":"h","run":"r","step":"s",` +
		`"reason":"R <&>","actor":"a","counts":[{"store":"s","entity":"e","category":"c","action":"Delete","basis":"b","count":3},{"count":0}],` +
		`"attributes":{"a":"2","z":"1"}}`))
	for _, bad := range []string{"", "{}", string(text) + " ", " " + string(text), strings.Replace(string(text), `"v":1`, `"v":2`, 1),
		strings.Replace(string(text), `"v":1,"key":"k"`, `"key":"k","v":1`, 1), strings.Replace(string(text), `"handle"`, `"extra"`, 1),
		strings.Replace(string(text), `"handle":"h"`, `"handle":""`, 1)} {
		_, err := ledger.DecodeLeaf([]byte(bad))
		g.Expect(err).To(MatchError(ledger.ErrInvalidEntry), bad)
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-zA-Z0-9 é<>&"\\/.-]{0,20}`)
		e := ledger.Entry{Key: "k" + word.Draw(t, "key"), Time: start, Kind: "k", Reason: word.Draw(t, "reason"), Actor: word.Draw(t, "actor"),
			Attributes: rapid.MapOfN(word, word, 0, 5).Draw(t, "attributes")}
		if len(e.Attributes) == 0 {
			e.Attributes = nil
		}
		text, err := ledger.EncodeLeaf(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := ledger.DecodeLeaf(text)
		if err != nil {
			t.Fatal(err)
		}
		NewWithT(t).Expect(back).To(Equal(e))
		if !json.Valid(text) {
			t.Fatal("not JSON")
		}
	})
}

// Promise 7, the last net: an address is refused wherever it stands, and the refusal does not repeat it.
// The canonical form is that of encoding/json, without escapes for HTML.
func TestLeafIsWhatTheStandardLibraryMakes(t *testing.T) {
	type published struct {
		Version int `json:"v"`
		ledger.Entry
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.StringN(0, 20, -1), rapid.SampledFrom([]string{"", "plain", `"`, `\`, "<&>", "\x00\t\n\r\b\f\x1f\x7f", "\u2028\u2029", "żółć", "\U0001f600"}))
		e := ledger.Entry{Key: "k" + text.Draw(t, "key"), Kind: "k" + text.Draw(t, "kind"), Handle: text.Draw(t, "handle"), Run: text.Draw(t, "run"),
			Step: text.Draw(t, "step"), Reason: text.Draw(t, "reason"), Actor: text.Draw(t, "actor"),
			Time:       time.Unix(rapid.Int64Range(-62e9, 253e9).Draw(t, "second"), rapid.Int64Range(0, 1e9-1).Draw(t, "nanosecond")).In(time.FixedZone("", 3600)),
			Attributes: rapid.MapOfN(text, text, 0, 4).Draw(t, "attributes")}
		for range rapid.IntRange(0, 3).Draw(t, "counts") {
			e.Counts = append(e.Counts, ledger.Count{Store: text.Draw(t, "store"), Entity: text.Draw(t, "entity"), Category: text.Draw(t, "category"),
				Action: text.Draw(t, "action"), Basis: text.Draw(t, "basis"), Count: rapid.Int64().Draw(t, "count")})
		}
		got, err := ledger.EncodeLeaf(e)
		if errors.Is(err, ledger.ErrPersonalData) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		e.Time = e.Time.UTC()
		var want bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(published{1, e}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, bytes.TrimSpace(want.Bytes())) {
			t.Fatalf("%s\n%s", got, want.Bytes())
		}
		if _, err := ledger.DecodeLeaf(got); err != nil {
			t.Fatal(err)
		}
	})
}

func TestHashesAreThoseOfTheLibrary(t *testing.T) {
	g := NewWithT(t)
	var tree ledger.Tree
	library := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for _, n := range []int{0, 1, 300, 1022, 1023, 1024, 5000} {
		leaf := bytes.Repeat([]byte{'x'}, n)
		hash := ledger.LeafHash(leaf)
		g.Expect(hash).To(Equal(rfc6962.DefaultHasher.HashLeaf(leaf)))
		tree, _ = tree.With(hash)
		g.Expect(library.Append(hash, nil)).To(Succeed())
		root, err := library.GetRootHash(nil)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(tree.Root()).To(Equal(root))
	}
}

func TestEntriesWithAddressesAreRefused(t *testing.T) {
	g := NewWithT(t)
	const canary = "maria.canary@example.org"
	for name, e := range map[string]ledger.Entry{
		"key":                      {Key: "x/" + canary},
		"reason":                   {Reason: "of <" + canary + ">"},
		"counts":                   {Counts: []ledger.Count{{Category: canary}}},
		"an attribute":             {Attributes: map[string]string{"a": "mailto:" + canary}},
		"the name of an attribute": {Attributes: map[string]string{canary: "a"}},
	} {
		if e.Key == "" {
			e.Key = "k"
		}
		e.Time, e.Kind = start, "k"
		_, err := ledger.EncodeLeaf(e)
		g.Expect(err).To(MatchError(ledger.ErrPersonalData), name)
		g.Expect(err).To(MatchError(HaveSuffix(name)))
		g.Expect(err.Error()).NotTo(ContainSubstring("canary"))
	}
	_, err := ledger.EncodeLeaf(ledger.Entry{Key: "k", Time: start, Kind: "k", Actor: "officer@example.org", Attributes: map[string]string{ledger.AttributeGroups: "hr@example.org"}})
	g.Expect(err).NotTo(HaveOccurred(), "the name with which somebody logs in may be an address; who acts is on record by policy")
	for _, address := range []string{"jörg@müller.de", "a@b.co", `x"@a.b`, "two @ and a@b.cd"} {
		_, err := ledger.EncodeLeaf(ledger.Entry{Key: "k", Time: start, Kind: "k", Reason: address})
		g.Expect(err).To(MatchError(ledger.ErrPersonalData), address)
	}
	for _, fine := range []string{"@", "a@", "a@b", "@example.org", "user @example.org", "image@sha256:abc", "a@.b", "system:serviceaccount:x:y"} {
		_, err := ledger.EncodeLeaf(ledger.Entry{Key: "k", Time: start, Kind: "k", Reason: fine})
		g.Expect(err).NotTo(HaveOccurred(), fine)
	}
}

func TestBadEntriesAreRefused(t *testing.T) {
	g := NewWithT(t)
	for _, e := range []ledger.Entry{
		{}, {Key: "k"}, {Key: "k", Time: start}, {Key: "k", Kind: "k"}, {Time: start, Kind: "k"},
		{Key: strings.Repeat("k", 300), Time: start, Kind: "k"},
		{Key: "k", Time: start, Kind: "k", Reason: strings.Repeat("x", 2000)},
		{Key: "k", Time: start, Kind: "k", Reason: "\xff"},
		{Key: "k", Time: start.AddDate(10000, 0, 0), Kind: "k"},
	} {
		_, err := ledger.EncodeLeaf(e)
		g.Expect(err).To(MatchError(ledger.ErrInvalidEntry))
	}
	for _, origin := range []string{"", "A", "a b", "a+b", "a\nb", "-a", "a-", strings.Repeat("a", 64), "a/b"} {
		g.Expect(ledger.CheckOrigin(origin)).NotTo(Succeed())
	}
	g.Expect(ledger.CheckOrigin("hr-2")).To(Succeed())
	_, err := ledger.NewSigner("has space", make([]byte, 32))
	g.Expect(err).To(HaveOccurred())
	_, err = ledger.NewSigner(logName, make([]byte, 31))
	g.Expect(err).To(HaveOccurred())
}

func FuzzDecodeLeaf(f *testing.F) {
	good, _ := ledger.EncodeLeaf(entry(1))
	f.Add(good)
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := ledger.DecodeLeaf(text)
		if err != nil {
			return
		}
		if again, err := ledger.EncodeLeaf(e); err == nil && !bytes.Equal(again, text) {
			t.Fatal("two texts of one meaning")
		}
	})
}
