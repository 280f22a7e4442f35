package verify

import (
	"fmt"
	"strings"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Counts says what happened to the records of a category.
func Counts(c v1alpha1.CategoryCount) string {
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{c.Deleted, "deleted"}, {c.Anonymized, "anonymized"}, {c.Marked, "marked"}, {c.Unlinked, "unlinked"}, {c.Files, "files removed"},
		{c.Retained, "retained"}, {c.Kept, "kept by the data map"}, {c.Shared, "kept because others share them"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return strings.Join(parts, ", ")
}
