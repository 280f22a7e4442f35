package harness

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/cmd/lethe/wiring"
)

// Samples reads the objects of a file of config/samples.
func Samples(file string) ([]client.Object, error) {
	text, err := os.ReadFile(filepath.Join(Root(), "config", "samples", file))
	if err != nil {
		return nil, err
	}
	decoder := serializer.NewCodecFactory(wiring.NewScheme(), serializer.EnableStrict).UniversalDeserializer()
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), len(text)+1)
	var objects []client.Object
	for {
		var raw runtime.RawExtension
		if err := documents.Decode(&raw); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		decoded, _, err := decoder.Decode(raw.Raw, nil, nil)
		if err != nil {
			return nil, err
		}
		o, ok := decoded.(client.Object)
		if !ok {
			return nil, fmt.Errorf("%s holds %T", file, decoded)
		}
		objects = append(objects, o)
	}
}
