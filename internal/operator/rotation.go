package operator

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-logr/logr"

	"github.com/lethe-dev/lethe/internal/journal"
	"github.com/lethe-dev/lethe/internal/keys"
	"github.com/lethe-dev/lethe/internal/ledger"
)

// signingKey is the seed of a generation of the ledger's key.
func signingKey(namespace string, generation int) keys.ID {
	name := "signing"
	if generation > 1 {
		name = fmt.Sprintf("signing-%d", generation)
	}
	return keys.ID{Purpose: keys.Ledger, Namespace: namespace, Name: name}
}

// signers makes the keys up to a generation, where there are none, and the statements that each follows the one before. The
// same Secrets make the same statements, so that nothing of a rotation can be half done: a process that was killed in it does
// the rest when it starts again.
func signers(ctx context.Context, store keys.Store, namespace, logName string, generation int) (*ledger.Signer, []ledger.Rotation, error) {
	later, err := has(ctx, store, signingKey(namespace, generation+1))
	if err != nil {
		return nil, nil, err
	}
	if later {
		return nil, nil, fmt.Errorf("the ledger's key was rotated to generation %d or later before: --ledger-key-generation is never lowered", generation+1)
	}
	made, err := has(ctx, store, signingKey(namespace, generation))
	if err != nil {
		return nil, nil, err
	}
	var signer *ledger.Signer
	var rotations []ledger.Rotation
	for g := 1; g <= generation; g++ {
		get := store.Ensure
		if made { // those before are there, or lost
			get = store.Get
		}
		seed, err := get(ctx, signingKey(namespace, g))
		if err != nil {
			return nil, nil, fmt.Errorf("the ledger's key of generation %d in namespace %s: %w", g, namespace, err)
		}
		next, err := ledger.NewSigner(logName, seed)
		if err != nil {
			return nil, nil, err
		}
		if signer != nil {
			rotation, err := ledger.Rotate(signer, next)
			if err != nil {
				return nil, nil, err
			}
			rotations = append(rotations, rotation)
		}
		signer = next
	}
	return signer, rotations, nil
}

func has(ctx context.Context, store keys.Store, id keys.ID) (bool, error) {
	_, err := store.Get(ctx, id)
	if errors.Is(err, keys.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// rotateLogs gives each log its entry of the newest rotation, now and not when it has something else to record. A log that
// cannot take it at the moment gets it in front of its next entry.
func rotateLogs(ctx context.Context, log logr.Logger, entries *journal.Journal, rotations []ledger.Rotation) {
	if len(rotations) == 0 {
		return
	}
	origins, err := entries.Ledger.Origins(ctx)
	if err != nil {
		log.Error(err, "the ledgers could not be listed; each records the rotation of the key with its next entry")
		return
	}
	newest := rotations[len(rotations)-1]
	for _, origin := range origins {
		last, err := entries.Ledger.Checkpoint(ctx, origin)
		if err == nil {
			if _, err := (ledger.VerifierKeys{newest.To}).WhichOpens(last.Note); err == nil {
				continue // it has it, or began since
			}
			err = entries.Append(ctx, origin, newest.Entry(entries.Clock.Now()))
		}
		if err != nil {
			log.Error(err, "the rotation of the key is not recorded yet; that is done with the next entry", "namespace", origin)
		}
	}
}
