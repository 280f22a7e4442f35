package keys_test

import (
	"bytes"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/keys/keystest"
	keysmemory "github.com/lethe-dev/lethe/internal/keys/memory"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	keystest.Run(t, func(*testing.T) keys.Store { return keysmemory.New() })
}

func TestSealedTextOpensWithItsKeyAndPlaceOnly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := NewWithT(t)
		key := rapid.SliceOfN(rapid.Byte(), keys.Size, keys.Size).Draw(t, "key")
		text := bytes.Repeat(rapid.SliceOf(rapid.Byte()).Draw(t, "text"), rapid.IntRange(0, 300).Draw(t, "times"))
		place := rapid.SliceOf(rapid.Byte()).Draw(t, "place")
		sealed, err := keys.Seal(key, text, place)
		g.Expect(err).NotTo(HaveOccurred())
		opened, err := keys.Open(key, sealed, place)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(bytes.Equal(opened, text)).To(BeTrue())

		changed := bytes.Clone(sealed)
		changed[rapid.IntRange(0, len(changed)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		_, err = keys.Open(key, changed, place)
		g.Expect(err).To(MatchError(keys.ErrUnsealed))
		_, err = keys.Open(key, sealed[:rapid.IntRange(0, len(sealed)-1).Draw(t, "cut")], place)
		g.Expect(err).To(MatchError(keys.ErrUnsealed))
		_, err = keys.Open(key, sealed, append([]byte("x"), place...))
		g.Expect(err).To(MatchError(keys.ErrUnsealed))
		key[0] ^= 1
		_, err = keys.Open(key, sealed, place)
		g.Expect(err).To(MatchError(keys.ErrUnsealed))
	})
}

func TestSealHidesAndCompresses(t *testing.T) {
	g := NewWithT(t)
	key := bytes.Repeat([]byte{7}, keys.Size)
	text := []byte(strings.Repeat("maria@example.org,", 1000))
	one, err := keys.Seal(key, text, nil)
	g.Expect(err).NotTo(HaveOccurred())
	two, err := keys.Seal(key, text, nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(one).NotTo(Equal(two))
	g.Expect(len(one)).To(BeNumerically("<", len(text)/10))
	g.Expect(string(one)).NotTo(ContainSubstring("maria"))
	_, err = keys.Seal(key[1:], text, nil)
	g.Expect(err).To(MatchError(keys.ErrInvalid))
}

func FuzzOpen(f *testing.F) {
	key := bytes.Repeat([]byte{7}, keys.Size)
	secret := bytes.Repeat([]byte("a"), 2000)
	good, _ := keys.Seal(key, secret, nil)
	f.Add(good)
	f.Fuzz(func(t *testing.T, sealed []byte) {
		// Each process of a fuzzer seals anew, so that several texts are good.
		if text, err := keys.Open(key, sealed, nil); err == nil && !bytes.Equal(text, secret) {
			t.Fatalf("opened a forged text of %d bytes", len(text))
		}
	})
}

func BenchmarkSeal5kB(b *testing.B) {
	key, text := bytes.Repeat([]byte{7}, keys.Size), []byte(strings.Repeat("abcdefghij0123456789", 250))
	for b.Loop() {
		_, _ = keys.Seal(key, text, nil)
	}
}
