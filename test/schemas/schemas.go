// Package schemas validates texts against the published JSON schemas, for tests.
package schemas

import (
	"bytes"
	"fmt"
	"path/filepath"
	"runtime"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Names of the published schemas.
const (
	LedgerEntry = "ledger-entry.schema.json"
	Certificate = "certificate.schema.json"
)

// Path of a published schema.
func Path(name string) string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(file), "..", "..", "docs", "reference", name)
}

// Load compiles a schema; formats are asserted.
func Load(name string) (func(text []byte) error, error) {
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(Path(name))
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", name, err)
	}
	return func(text []byte) error {
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return err
		}
		return schema.Validate(value)
	}, nil
}
