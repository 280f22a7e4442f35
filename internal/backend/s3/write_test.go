package s3_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
)

func TestTakesFiles(t *testing.T) {
	for _, v := range []backendtest.ObjectVersioning{backendtest.NoVersions, backendtest.VersionsEnabled} {
		t.Run("versioning "+string(v), func(t *testing.T) {
			b := newBucket(t, server, server.Root, v, false)
			backendtest.RunWriter(t, b.Open(t, backendtest.ObjectsOptions{Prefix: "archive"}), b.All)
			for _, name := range b.All(t) {
				if !strings.Contains(name, " archive/exports/") {
					t.Errorf("%s is outside of the store", name)
				}
			}
		})
	}
}

func TestFilesWithoutTheRightAreRefused(t *testing.T) {
	b := newBucket(t, server, user, backendtest.NoVersions, false)
	err := b.Open(t, backendtest.ObjectsOptions{}).(backend.ObjectWriter).PutNew(ctx, "a.csv", strings.NewReader("x"), 1)
	var refused *backend.RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "s3:") {
		t.Errorf("%v", err)
	}
}
