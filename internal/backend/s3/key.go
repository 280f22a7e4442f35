package s3

import (
	"cmp"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/lethe-dev/lethe/internal/backend"
)

// kind of an entry, the first letter of its notation.
type kind string

// The kinds, in the order in which a batch removes them. Delete markers go last: the version below one would else be
// readable again until it goes too.
const (
	kindUpload  kind = "u" // an incomplete multipart upload; the id is the upload's
	kindVersion kind = "v" // a version with its id; "null" is that of a bucket without versions
	kindObject  kind = "o" // an object of a server that knows no versions; it has no id
	kindMarker  kind = "d" // a delete marker with its version id
)

const nullVersion = "null"

// entry is what a bucket holds under a key.
type entry struct {
	kind kind
	id   string
	key  string
}

// text is the notation of an entry as one string: kind, escaped id and literal key, separated by colons.
func (e entry) text() string { return string(e.kind) + ":" + url.QueryEscape(e.id) + ":" + e.key }

// version is the id to delete the entry by.
func (e entry) version() string {
	if e.kind == kindObject {
		return ""
	}
	return e.id
}

func parseEntry(text string) (entry, bool) {
	parts := strings.SplitN(text, ":", 3)
	if len(parts) != 3 {
		return entry{}, false
	}
	id, err := url.QueryUnescape(parts[1])
	e := entry{kind: kind(parts[0]), id: id, key: parts[2]}
	switch e.kind {
	case kindUpload, kindVersion, kindMarker:
		return e, err == nil && id != "" && checkKey(e.key) == nil
	case kindObject:
		return e, err == nil && id == "" && checkKey(e.key) == nil
	default:
		return entry{}, false
	}
}

var kinds = []kind{kindUpload, kindVersion, kindObject, kindMarker}

// inOrder compares entries by the order in which they go, then by key and id.
func inOrder(a, b entry) int {
	return cmp.Or(cmp.Compare(slices.Index(kinds, a.kind), slices.Index(kinds, b.kind)), cmp.Compare(a.key, b.key), cmp.Compare(a.id, b.id))
}

const maxKeyBytes = 1024

// checkKey refuses what no object can be named by, or what a plan, which is JSON, would not bring back as it was.
func checkKey(key string) error {
	const remedy = "correct the path's template or the values in its columns"
	switch {
	case key == "":
		return refused("a path is empty", remedy)
	case strings.ContainsRune(key, 0):
		return refused("a path holds a NUL", remedy)
	case len(key) > maxKeyBytes:
		return refused("a path is longer than the 1,024 bytes of an object's key", remedy)
	case !utf8.ValidString(key):
		return refused("the key of an object is not valid UTF-8", "rename the object")
	}
	return nil
}

// place is a path in terms of the bucket: one key, or all keys that begin with it.
type place struct {
	key    string
	prefix bool
}

// place makes the full key or prefix of a path. Keys are literal: "..", "//" and a leading slash mean nothing special.
func (b *Backend) place(p backend.Path) (place, error) {
	full := place{key: b.prefix + p.Path}
	switch p.Kind {
	case "", backend.File:
	case backend.Prefix:
		full.prefix = true
	case backend.Directory:
		if strings.HasSuffix(p.Path, "/") {
			// Of "docs/" nobody can tell whether it is a folder or one whose name is an empty column.
			return place{}, refused("the path of a folder ends with a slash", "leave the slash away in the path's template: it is added")
		}
		full.key, full.prefix = full.key+"/", true
	default:
		return place{}, refused("an object store has no paths of the kind "+string(p.Kind), "use File, Directory or Prefix in the data map")
	}
	if err := checkKey(p.Path); err != nil {
		return place{}, err
	}
	return full, checkKey(full.key)
}
