package controller

import (
	"context"
	"encoding/json"

	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/pseudonym"
)

// Pseudonyms makes pseudonyms under the key of a namespace.
type Pseudonyms struct{ Keys keys.Store }

// Subject is the pseudonym of a subject's id.
func (p *Pseudonyms) Subject(ctx context.Context, namespace, id string) (string, error) {
	key, err := p.Keys.Ensure(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: namespace})
	if err != nil {
		return "", err
	}
	return pseudonym.Subject(key, id), nil
}

// Root is the pseudonym of a subject's root record.
func (p *Pseudonyms) Root(ctx context.Context, namespace, store, entity, key string) (string, error) {
	return p.of(ctx, namespace, "root/"+store+"/"+entity, key)
}

// Identities is one keyed digest over all identities of a subject: equal only for equal identities.
func (p *Pseudonyms) Identities(ctx context.Context, namespace string, identities map[string][]string) (string, error) {
	all, err := json.Marshal(identities) // sorts the names
	if err != nil {
		return "", err
	}
	return p.of(ctx, namespace, "identities", string(all))
}

func (p *Pseudonyms) of(ctx context.Context, namespace, kind, value string) (string, error) {
	key, err := p.Keys.Ensure(ctx, keys.ID{Purpose: keys.Pseudonym, Namespace: namespace})
	if err != nil {
		return "", err
	}
	return pseudonym.Exact(key, kind, pseudonym.NewSecret(value)), nil
}
