package http

import (
	"encoding/json"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/internal/backend"
)

// record is what one row stands for: an id of a resource, the service's word for a type of records.
type record struct{ resource, id string }

// encode writes a record as a Row.Key has it, a JSON array: ["contact","42"].
func (r record) encode() (string, error) {
	out, err := json.Marshal([]string{r.resource, r.id})
	return string(out), err
}

// check refuses what JSON would not bring to the service as it is.
func (r record) check() error {
	switch {
	case r.resource == "" || r.id == "":
		return refused("an id or its resource is empty", "correct the path's template or the values in its columns")
	case !utf8.ValidString(r.resource) || !utf8.ValidString(r.id):
		return refused("an id or its resource is not valid UTF-8", "correct the path's template or the values in its columns")
	}
	return nil
}

// decode reads what encode wrote, and nothing else: a plan that names something in another way was not made here.
func decode(s string) (record, bool) {
	var parts []string
	if json.Unmarshal([]byte(s), &parts) != nil || len(parts) != 2 {
		return record{}, false
	}
	r := record{parts[0], parts[1]}
	back, err := r.encode()
	return r, err == nil && back == s && r.check() == nil
}

// chunk is what goes into one request: ids of one resource, each of them once.
type chunk struct {
	op       int
	resource string
	ids      []string
}

// chunks are the records of all operations, in requests of at most size ids.
func chunks(ops []backend.Operation, size int) ([]chunk, error) {
	var list []chunk
	for i, op := range ops {
		if op.Action != backend.Unlink {
			return nil, of(refused(fmt.Sprintf("a service has no action %q", op.Action), ""), op.Entity)
		}
		ids := map[string][]string{}
		var resources []string
		seen := map[record]bool{}
		for _, k := range op.Keys {
			if len(k) != 1 {
				return nil, of(refused("a key of a service's record has one part", ""), op.Entity)
			}
			r, ok := decode(k[0])
			if !ok {
				return nil, of(refused("a key of the plan is not in this store's notation", "plan anew"), op.Entity)
			}
			if seen[r] {
				continue
			}
			seen[r] = true
			if ids[r.resource] == nil {
				resources = append(resources, r.resource)
			}
			ids[r.resource] = append(ids[r.resource], r.id)
		}
		for _, resource := range resources {
			for part := range slices.Chunk(ids[resource], size) {
				list = append(list, chunk{i, resource, part})
			}
		}
	}
	return list, nil
}
