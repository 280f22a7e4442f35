package pseudonym

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"
)

const canary = "Maria.Canary@example.org"

func TestSecretNeverPrints(t *testing.T) {
	g := NewWithT(t)
	type holder struct {
		Public  Secret
		private Secret
	}
	secret := NewSecret(canary)
	held := holder{Public: secret, private: secret}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p"} {
		for _, value := range []any{secret, &secret, held, &held, []Secret{secret}, map[string]Secret{"a": secret}} {
			fmt.Fprintf(&out, verb+"\n", value)
		}
	}
	asJSON, err := json.Marshal(map[string]any{"a": secret, "b": held, "c": map[Secret2]int{}})
	g.Expect(err).NotTo(HaveOccurred())
	out.Write(asJSON)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "secret", secret, "held", held)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "secret", secret, "held", held)
	funcr.New(func(prefix, args string) { out.WriteString(prefix + args) }, funcr.Options{}).Info("x", "secret", secret, "held", held)
	fmt.Fprint(&out, fmt.Errorf("failed for %v", secret))

	g.Expect(out.String()).NotTo(ContainSubstring("Canary"))
	g.Expect(out.String()).NotTo(ContainSubstring(fmt.Sprintf("%x", canary)))
	g.Expect(out.String()).To(ContainSubstring("[redacted]"))
	g.Expect(secret.Reveal()).To(Equal(canary))
	g.Expect(secret.Equal(NewSecret(canary))).To(BeTrue())
	g.Expect(secret.Equal(Secret{})).To(BeFalse())
	g.Expect(Secret{}.IsEmpty()).To(BeTrue())
}

type Secret2 string

func TestNormalize(t *testing.T) {
	for in, want := range map[string]string{
		"  Maria@Example.ORG\n": "maria@example.org",
		"ﬁnn":                   "finn",
		"Ｍａｒｉａ":                 "maria",
		"e\u0301":               "é",
		"\u00a0x\u00a0":         "x",
		"":                      "",
	} {
		NewWithT(t).Expect(Normalize(in)).To(Equal(want), "%q", in)
	}
	rapid.Check(t, func(t *rapid.T) {
		once := Normalize(rapid.String().Draw(t, "value"))
		if Normalize(once) != once {
			t.Fatalf("not stable")
		}
	})
}

func TestPseudonymDependsOnKeyKindAndIdentityOnly(t *testing.T) {
	g := NewWithT(t)
	key, other := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	p := Pseudonym(key, "email", NewSecret(canary))
	g.Expect(p).To(Equal(Pseudonym(key, "email", NewSecret(" maria.canary@EXAMPLE.org "))))
	g.Expect(p).NotTo(Equal(Pseudonym(key, "id", NewSecret(canary))))
	g.Expect(p).NotTo(Equal(Pseudonym(other, "email", NewSecret(canary))))
	g.Expect(p).To(MatchRegexp(`^p1\.[a-z2-7]{8}\.[a-z2-7]{32}$`))
	g.Expect(len(p)).To(BeNumerically("<=", 63))
	g.Expect(p).To(Equal("p1.qrtq55fk.pyvlrteuxxovubkxb33jrglo2zfcnamw"), "the format must stay as published")

	version, keyID, err := Parse(p)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(version).To(Equal(1))
	g.Expect(keyID).To(Equal(KeyID(key)))
	for _, bad := range []string{"", "p1", "p1.a.b", "x1." + p[3:], canary, p + "a", "p0" + p[2:]} {
		_, _, err := Parse(bad)
		g.Expect(err).To(MatchError(ErrMalformed))
	}
}

func TestPartsCannotBeShifted(t *testing.T) {
	g := NewWithT(t)
	key := bytes.Repeat([]byte{1}, 32)
	g.Expect(Tombstone(key, "a", "bc", []string{"1"})).NotTo(Equal(Tombstone(key, "ab", "c", []string{"1"})))
	g.Expect(Tombstone(key, "a", "b", []string{"1", "2"})).NotTo(Equal(Tombstone(key, "a", "b", []string{"12"})))
	g.Expect(Tombstone(key, "a", "b", []string{"1"})).To(MatchRegexp(regexp.MustCompile(`^t1\.[a-z2-7]{8}\.[a-z2-7]{32}$`).String()))
}
