package schemas

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lethe-dev/lethe/internal/certificate"
	"github.com/lethe-dev/lethe/internal/ledger"
)

// read decodes a published schema.
func read(t *testing.T, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(Path(name))
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

func load(t *testing.T, name string) func([]byte) error {
	t.Helper()
	validate, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return validate
}

// kinds are the words that the code knows.
func kinds(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../internal/ledger/kinds.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Kind") {
			return true
		}
		if value, ok := spec.Values[0].(*ast.BasicLit); ok && value.Kind == token.STRING {
			word, _ := strconv.Unquote(value.Value)
			words = append(words, word)
		}
		return false
	})
	slices.Sort(words)
	return words
}

func at(path any, names ...string) any {
	for _, name := range names {
		path = path.(map[string]any)[name]
	}
	return path
}

// The schema knows the words and fields that the code knows, no more and no less.
func TestLedgerSchemaIsTheEncoders(t *testing.T) {
	schema := read(t, LedgerEntry)
	var published []string
	for _, one := range at(schema, "properties", "kind", "oneOf").([]any) {
		published = append(published, at(one, "const").(string))
		if at(one, "description").(string) == "" {
			t.Errorf("%s has no description", at(one, "const"))
		}
	}
	slices.Sort(published)
	if want := kinds(t); !slices.Equal(published, want) {
		t.Errorf("kinds in the schema: %v, in the code: %v", published, want)
	}
	if listed := slices.Sorted(slices.Values(ledger.Kinds())); !slices.Equal(listed, published) {
		t.Errorf("kinds in the schema: %v, listed: %v", published, listed)
	}
	sameFields(t, reflect.TypeFor[ledger.Entry](), at(schema, "properties"), "v")
	sameFields(t, reflect.TypeFor[ledger.Count](), at(schema, "properties", "counts", "items", "properties"))
}

func TestCertificateSchemaIsTheEncoders(t *testing.T) {
	schema := read(t, Certificate)
	sameFields(t, reflect.TypeFor[certificate.Document](), at(schema, "properties"))
	body := at(schema, "properties", "certificate", "properties")
	sameFields(t, reflect.TypeFor[certificate.Body](), body)
	for name, of := range map[string]reflect.Type{"request": reflect.TypeFor[certificate.Request](), "policy": field[certificate.Body]("Policy"),
		"verification": reflect.TypeFor[certificate.Verification]()} {
		sameFields(t, of, at(body, name, "properties"))
	}
	for name, of := range map[string]reflect.Type{"timeline": reflect.TypeFor[certificate.Event](), "maps": field[certificate.Body]("Maps").Elem(),
		"categories": field[certificate.Body]("Categories").Elem(), "retained": reflect.TypeFor[certificate.Retained](), "actors": reflect.TypeFor[certificate.Actor]()} {
		sameFields(t, of, at(body, name, "items", "properties"))
	}
	file, err := os.ReadFile("../standardtools/testdata/certificate.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := load(t, Certificate)(file); err != nil {
		t.Error(err)
	}
	if load(t, Certificate)([]byte(strings.Replace(string(file), `"Erased"`, `"Gone"`, 1))) == nil {
		t.Error("an unknown result was accepted")
	}
}

func field[T any](name string) reflect.Type {
	f, _ := reflect.TypeFor[T]().FieldByName(name)
	return f.Type
}

func sameFields(t *testing.T, of reflect.Type, properties any, more ...string) {
	t.Helper()
	want := more
	for f := range of.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		want = append(want, name)
	}
	var found []string
	for name := range properties.(map[string]any) {
		found = append(found, name)
	}
	slices.Sort(want)
	slices.Sort(found)
	if !slices.Equal(found, want) {
		t.Errorf("%s: the schema has %v, the code %v", of.Name(), found, want)
	}
}

func TestSchemaOfReceivedRequests(t *testing.T) {
	validate := load(t, LedgerEntry)
	leaf, err := ledger.EncodeLeaf(ledger.Entry{Key: "h/received", Time: time.Unix(0, 0), Kind: ledger.KindErasureReceived, Handle: "h", Reason: "Subject", Attributes: map[string]string{
		ledger.AttributeDueAt: "2026-04-01T12:00:00Z", ledger.AttributeTiming: "Immediate", ledger.AttributeUID: "u"}})
	if err == nil {
		err = validate(leaf)
	}
	if err != nil {
		t.Fatal(err)
	}
	for from, into := range map[string]string{`2026-04-01T`: `2026-14-01T`} {
		if validate([]byte(strings.Replace(string(leaf), from, into, 1))) == nil {
			t.Errorf("%s was accepted", into)
		}
	}
}

// Whatever the encoder takes is what the schema says, as long as its kind asks for nothing special.
func TestEveryLeafIsOfTheSchema(t *testing.T) {
	validate := load(t, LedgerEntry)
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringN(0, 40, 200)
		e := ledger.Entry{Key: "k" + word.Draw(t, "key"), Time: time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "time"), rapid.Int64Range(0, 999999999).Draw(t, "nanos")),
			Kind: ledger.KindErasureNotice, Handle: word.Draw(t, "handle"), Run: word.Draw(t, "run"), Step: word.Draw(t, "step"), Reason: word.Draw(t, "reason"), Actor: word.Draw(t, "actor"),
			Attributes: rapid.MapOfN(word, word, 0, 4).Draw(t, "attributes")}
		for range rapid.IntRange(0, 3).Draw(t, "counts") {
			e.Counts = append(e.Counts, ledger.Count{Store: word.Draw(t, "store"), Basis: word.Draw(t, "basis"), Count: rapid.Int64().Draw(t, "count")})
		}
		leaf, err := ledger.EncodeLeaf(e)
		if err != nil {
			t.Skip("not an entry")
		}
		if err := validate(leaf); err != nil {
			t.Fatalf("%s: %v", leaf, err)
		}
	})
}

func TestSchemaRefusesWhatIsNoEntry(t *testing.T) {
	validate := load(t, LedgerEntry)
	const good = `{"v":1,"key":"h/certificate/1","time":"2026-03-01T12:00:00Z","kind":"certificate.issued","handle":"h","run":"r","reason":"Erased",` +
		`"attributes":{"digest":"sha256:286e4b5253fed83d6337e1aaaba3cb23e586311f71109df2bfaf3f890259b9d8","number":"1"}}`
	if err := validate([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for from, into := range map[string]string{`"v":1`: `"v":2`, `"certificate.issued"`: `"certificate.forged"`, `"handle":"h",`: ``, `"reason"`: `"why"`,
		`sha256:2`: `sha256:`, `,"number":"1"`: ``, `"number":"1"`: `"number":1`, `2026-03-01T`: `2026-13-01T`, `"run":"r"`: `"run":""`} {
		changed := strings.Replace(good, from, into, 1)
		if changed == good {
			t.Fatal(from)
		}
		if validate([]byte(changed)) == nil {
			t.Errorf("%s was accepted", changed)
		}
	}
}
