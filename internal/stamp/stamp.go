// Package stamp tells who changed an object: admission seals the user of a write into an annotation, and reconcile tells by
// the seal whether admission wrote it. Who can write the object while admission is away can copy or invent an annotation,
// but not its seal.
package stamp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/pseudonym"
)

const (
	domain = "lethe/stamp/1"
	// creationTolerance is how far the stamp of a creation may be from the time of the creation. A new object has no UID
	// yet when it is stamped, so the time, which no client can set, keeps the stamp from being used for another object of
	// the same name.
	creationTolerance = time.Minute
	maxSize           = 4 << 10 // of an annotation
	maxGroups         = 16
	maxFields         = 40
)

// Actor is who makes a change.
type Actor struct {
	// User is the name, or its pseudonym where the policy says so. It is what people see.
	User string `json:"user"`
	// ID is always the pseudonym under the namespace's key, so that two actors can be compared whatever the policy says.
	ID string `json:"id"`
	// Groups of the user, in the same form as the name.
	Groups []string `json:"groups,omitempty"`
}

// Same tells whether two actors are one person. Pseudonyms under different keys cannot be compared; then it says so.
func (a Actor) Same(other Actor) (same, sameKey bool) {
	_, key, err := pseudonym.Parse(a.ID)
	_, otherKey, otherErr := pseudonym.Parse(other.ID)
	return a.ID == other.ID, err == nil && otherErr == nil && key == otherKey
}

// NewActor is a user in the form that a policy allows. The system's own groups say nothing and are left out.
func NewActor(key []byte, user string, groups []string, pseudonymous bool) Actor {
	name := func(kind, value string) string { return pseudonym.Exact(key, kind, pseudonym.NewSecret(value)) }
	a := Actor{User: user, ID: name("actor", user)}
	if pseudonymous {
		a.User = a.ID
	}
	for _, group := range groups {
		if group == "system:authenticated" || len(a.Groups) == maxGroups {
			continue
		}
		if pseudonymous {
			group = name("group", group)
		}
		a.Groups = append(a.Groups, group)
	}
	return a
}

// Stamp is the content of an annotation.
type Stamp struct {
	Actor
	Time time.Time `json:"time"`
	// Fields that the change touched, never their values.
	Fields []string `json:"fields,omitempty"`
	Seal   string   `json:"seal"`
}

// Sealer seals and checks stamps under a key that only the operator has.
type Sealer struct{ key []byte }

// NewSealer makes a sealer.
func NewSealer(key []byte) *Sealer { return &Sealer{key: slices.Clone(key)} }

// Seal makes the text of an annotation of an object. Value is what the change set; a new object has no UID yet.
func (s *Sealer) Seal(kind string, obj metav1.Object, annotation, value string, st Stamp) (string, error) {
	st.Time = st.Time.UTC().Truncate(time.Second)
	st.Fields = st.Fields[:min(len(st.Fields), maxFields)]
	st.Seal = base64.RawStdEncoding.EncodeToString(s.mac(kind, obj.GetNamespace(), nameOf(obj), string(obj.GetUID()), annotation, value, st))
	text, err := json.Marshal(st)
	return string(text), err
}

// Read returns the stamp that an object's annotation holds, if admission made it for this object and this value.
func (s *Sealer) Read(kind string, obj metav1.Object, annotation, value string) (Stamp, bool) {
	var st Stamp
	text := obj.GetAnnotations()[annotation]
	if s == nil || text == "" || len(text) > maxSize || json.Unmarshal([]byte(text), &st) != nil {
		return Stamp{}, false
	}
	seal, err := base64.RawStdEncoding.DecodeString(st.Seal)
	if err != nil {
		return Stamp{}, false
	}
	genuine := func(name, uid string) bool {
		return hmac.Equal(seal, s.mac(kind, obj.GetNamespace(), name, uid, annotation, value, st))
	}
	if uid := string(obj.GetUID()); uid != "" && genuine(nameOf(obj), uid) {
		return st, true
	}
	created := obj.GetCreationTimestamp()
	if created.IsZero() { // admission looks at an object that is just being created
		return st, obj.GetUID() == "" && genuine(nameOf(obj), "")
	}
	if distance := created.Sub(st.Time); distance > creationTolerance || distance < -creationTolerance {
		return Stamp{}, false
	}
	// The name of an object with generateName was not known when it was stamped.
	if genuine(obj.GetName(), "") || (obj.GetGenerateName() != "" && genuine(obj.GetGenerateName()+"*", "")) {
		return st, true
	}
	return Stamp{}, false
}

// nameOf is the name, or what it will begin with.
func nameOf(obj metav1.Object) string {
	if obj.GetName() == "" {
		return obj.GetGenerateName() + "*"
	}
	return obj.GetName()
}

func (s *Sealer) mac(kind, namespace, name, uid, annotation, value string, st Stamp) []byte {
	return pseudonym.MAC(s.key, domain, kind, namespace, name, uid, annotation, value, st.User, st.ID,
		strings.Join(st.Groups, "\x00"), strings.Join(st.Fields, "\x00"), st.Time.UTC().Format(time.RFC3339))
}

// Digest of an object's spec, the value of the stamp on a change of it. The object must be of its Go type: what a client
// wrote has more than one notation.
func Digest(obj any) (string, error) {
	text, err := json.Marshal(obj)
	if err != nil {
		return "", err
	}
	var parts struct {
		Spec json.RawMessage `json:"spec"`
	}
	if err := json.Unmarshal(text, &parts); err != nil {
		return "", err
	}
	sum := sha256.Sum256(parts.Spec)
	return hex.EncodeToString(sum[:]), nil
}

// Name of the actor for a record: the stamped one, or that nobody knows.
func Name(st Stamp, ok bool) string {
	if !ok {
		return v1alpha1.ActorUnknown
	}
	return st.User
}
