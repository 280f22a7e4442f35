package backendtest

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/lethe-dev/lethe/internal/backend"
)

// RunWriter runs the suite for stores that take files. names lists all that the store holds.
func RunWriter(t *testing.T, b backend.Backend, names func(t *testing.T) []string) {
	ctx := context.Background()
	writer, ok := b.(backend.ObjectWriter)
	if !ok {
		t.Fatal("the store takes no files")
	}
	before := len(names(t))
	if _, err := writer.OpenObject(ctx, "exports/2026/a.csv"); !errors.Is(err, backend.ErrNoObject) {
		t.Errorf("nothing is there, and opening says %v", err)
	}
	put := func(path, text string, size int64) error {
		return writer.PutNew(ctx, path, strings.NewReader(text), size)
	}
	if err := put("exports/2026/a.csv", "first", 5); err != nil {
		t.Fatal(err)
	}
	if err := put("exports/2026/a.csv", "other", 5); !errors.Is(err, backend.ErrExists) {
		t.Errorf("a file was to be overwritten, and that is %v", err)
	}
	content, err := writer.OpenObject(ctx, "exports/2026/a.csv")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(content)
	if err := errors.Join(err, content.Close()); err != nil || string(text) != "first" {
		t.Errorf("%q, %v", text, err)
	}
	broken := errors.New("the content ends here")
	large := int64(20 << 20)
	err = writer.PutNew(ctx, "exports/broken.csv", io.MultiReader(io.LimitReader(zeros{}, large/2), failing{broken}), large)
	if !errors.Is(err, broken) {
		t.Errorf("a content that breaks off is %v", err)
	}
	if err := writer.PutNew(ctx, "exports/large.csv", io.LimitReader(zeros{}, large), large); err != nil {
		t.Errorf("a large file: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	var unavailable *backend.UnavailableError
	if err := writer.PutNew(cancelled, "exports/never.csv", strings.NewReader("x"), 1); !errors.As(err, &unavailable) {
		t.Errorf("a cancelled call is %v", err)
	}
	if after := names(t); len(after) != before+2 {
		t.Errorf("nothing half-written is left: %v", after)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
