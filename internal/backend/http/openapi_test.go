package http_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/internal/backend"
)

// lookUp follows a path of keys in a document, with references resolved.
func lookUp(t *testing.T, doc map[string]any, keys ...string) map[string]any {
	t.Helper()
	node := doc
	for _, k := range keys {
		next, ok := node[k].(map[string]any)
		if !ok {
			t.Fatalf("the document has no %s", strings.Join(keys, " > "))
		}
		if ref, ok := next["$ref"].(string); ok {
			next = lookUp(t, doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
		}
		node = next
	}
	return node
}

// TestOpenAPI: the document describes what the client sends, and all that it refers to is there.
func TestOpenAPI(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "reference", "http-contract.openapi.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := yaml.UnmarshalStrict(text, &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(node any)
	walk = func(node any) {
		switch n := node.(type) {
		case map[string]any:
			if ref, ok := n["$ref"].(string); ok {
				lookUp(t, doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
			}
			for _, v := range n {
				walk(v)
			}
		case []any:
			for _, v := range n {
				walk(v)
			}
		}
	}
	walk(doc)

	s := newService(t)
	s.async = 1
	s.Put(t, "contact", "canary-1")
	b := open(t, s.config())
	for name, call := range calls(b) {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, ok := b.(backend.Deactivator); !ok {
		t.Error("services deactivate")
	}
	used := map[string]bool{}
	for _, r := range s.seen {
		path := strings.TrimPrefix(r.path, "/privacy")
		if strings.HasPrefix(path, "/v1/operations/") {
			path = "/v1/operations/{operation}"
		}
		used[path] = true
		if r.body == nil {
			lookUp(t, doc, "paths", path, "get")
			continue
		}
		schema := lookUp(t, doc, "paths", path, "post", "requestBody", "content", "application/json", "schema")
		want := slices.Sorted(maps.Keys(lookUp(t, schema, "properties")))
		if got := slices.Sorted(maps.Keys(r.body)); !slices.Equal(got, want) {
			t.Errorf("%s: the request has %v, the document %v", path, got, want)
		}
	}
	if got, want := slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(lookUp(t, doc, "paths"))); !slices.Equal(got, want) {
		t.Errorf("the client uses %v, the document has %v", got, want)
	}
}
