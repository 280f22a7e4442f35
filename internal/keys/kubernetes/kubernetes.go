// Package keyskubernetes keeps each key in a Secret of its own in the operator's namespace.
//
// A destroyed key is overwritten before its Secret is deleted. The API server's storage may hold the old revision until
// it is compacted (etcd: five minutes by default) and its backups as long as those live: encrypt Secrets at rest.
package keyskubernetes

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/internal/keys"
)

// SecretType of the Secrets that hold keys.
const SecretType corev1.SecretType = "privacy.lethe.dev/key"

const (
	namePrefix = "lethe-key-"
	dataKey    = "key"

	labelManagedBy = "app.kubernetes.io/managed-by"
	labelPurpose   = "privacy.lethe.dev/key-purpose"
	annWorkspace   = "privacy.lethe.dev/key-namespace"
	annName        = "privacy.lethe.dev/key-name"
	annDestroyed   = "privacy.lethe.dev/key-destroyed"

	cacheSize = 256
)

// errDestroying means that the key is between its overwriting and the deletion of its Secret.
var errDestroying = errors.New("key is being destroyed")

// Store implements keys.Store.
type Store struct {
	writer    client.Client
	reader    client.Reader
	namespace string
	// cache holds the keys that every request of a workspace needs. Keys of one run or residue are not in it: they are
	// read seldom, and must be gone from memory when they are destroyed elsewhere.
	cache *lru.Cache
}

// New makes a store in the operator's namespace. The reader must not be cached: informers would list and keep every
// Secret of the namespace.
func New(writer client.Client, reader client.Reader, namespace string) *Store {
	return &Store{writer: writer, reader: reader, namespace: namespace, cache: lru.New(cacheSize)}
}

// Ensure implements keys.Store.
func (s *Store) Ensure(ctx context.Context, id keys.ID) ([]byte, error) {
	key, err := s.Get(ctx, id)
	if !errors.Is(err, keys.ErrNotFound) || errors.Is(err, errDestroying) {
		return key, err
	}
	key = make([]byte, keys.Size)
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	err = s.writer.Create(ctx, s.secret(id, key))
	if apierrors.IsAlreadyExists(err) {
		return s.Get(ctx, id) // somebody else was first: theirs is the key
	}
	if err != nil {
		return nil, fmt.Errorf("create key Secret: %w", err)
	}
	s.remember(id, key)
	return key, nil
}

// Get implements keys.Store.
func (s *Store) Get(ctx context.Context, id keys.ID) ([]byte, error) {
	if key, ok := s.cache.Get(id); ok {
		return slices.Clone(key.([]byte)), nil
	}
	secret, err := s.read(ctx, id)
	if err != nil {
		return nil, err
	}
	if secret.Annotations[annDestroyed] != "" {
		return nil, fmt.Errorf("%w: %w", keys.ErrNotFound, errDestroying)
	}
	key := secret.Data[dataKey]
	if len(key) != keys.Size {
		return nil, fmt.Errorf("%w: Secret %s/%s has no %d bytes at %q", keys.ErrInvalid, s.namespace, secret.Name, keys.Size, dataKey)
	}
	s.remember(id, key)
	return slices.Clone(key), nil
}

// Destroy implements keys.Store.
func (s *Store) Destroy(ctx context.Context, id keys.ID) error {
	s.cache.Remove(id)
	secret, err := s.read(ctx, id)
	if errors.Is(err, keys.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if secret.Annotations[annDestroyed] == "" {
		if secret.Annotations == nil {
			secret.Annotations = map[string]string{}
		}
		secret.Annotations[annDestroyed] = "true"
		secret.Data = map[string][]byte{dataKey: make([]byte, keys.Size)}
		// With the resourceVersion that was read: a Secret made anew since is not touched.
		if err := s.writer.Update(ctx, secret); err != nil {
			return ignoreNotFound("overwrite", err)
		}
	}
	err = s.writer.Delete(ctx, secret, client.Preconditions{UID: &secret.UID})
	s.cache.Remove(id) // a Get may have read it in between
	return ignoreNotFound("delete", err)
}

func (s *Store) read(ctx context.Context, id keys.ID) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := s.reader.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: SecretName(id)}, secret)
	if apierrors.IsNotFound(err) {
		return nil, keys.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("read key Secret: %w", err)
	}
	if secret.Type != SecretType || secret.Labels[labelPurpose] != string(id.Purpose) ||
		secret.Annotations[annWorkspace] != id.Namespace || secret.Annotations[annName] != id.Name {
		return nil, fmt.Errorf("%w: Secret %s/%s belongs to something else", keys.ErrInvalid, s.namespace, secret.Name)
	}
	return secret, nil
}

func (s *Store) secret(id keys.ID, key []byte) *corev1.Secret {
	immutable := false // or it could not be overwritten
	return &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   s.namespace,
			Name:        SecretName(id),
			Labels:      map[string]string{labelManagedBy: "lethe", labelPurpose: string(id.Purpose)},
			Annotations: map[string]string{annWorkspace: id.Namespace, annName: id.Name},
		},
		Type:      SecretType,
		Immutable: &immutable,
		Data:      map[string][]byte{dataKey: key},
	}
}

func (s *Store) remember(id keys.ID, key []byte) {
	if id.Purpose == keys.Pseudonym || id.Purpose == keys.Tombstone {
		s.cache.Add(id, slices.Clone(key))
	}
}

// SecretName is the name of a key's Secret.
func SecretName(id keys.ID) string {
	sum := sha256.Sum256([]byte(id.Namespace + "/" + id.Name)) // a namespace holds no slash
	return namePrefix + string(id.Purpose) + "-" + hex.EncodeToString(sum[:10])
}

func ignoreNotFound(verb string, err error) error {
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("%s key Secret: %w", verb, err)
}
