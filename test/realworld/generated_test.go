package realworld

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/test/harness"
)

// update writes the generated map anew; then edit map.yaml after it, as people do who change their schema.
var update = flag.Bool("update", false, "write testdata/map.generated.yaml anew")

var generatedMap = filepath.Join("testdata", "map.generated.yaml")

// The map that the tests use began as what the generator makes of the live schema, the same on every engine. It is fit for use
// as it is, but for what only a person can decide.
func TestGeneratedMap(t *testing.T) {
	lethe, err := harness.BuildLethe(context.Background(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range engines {
		t.Run(e.name, func(t *testing.T) {
			d := e.start(t)
			e.createTables(t, d)
			run := func(args ...string) []byte {
				t.Helper()
				var out, problems bytes.Buffer
				cmd := exec.Command(lethe, append(args, d.flags()...)...)
				cmd.Env = append(os.Environ(), "LETHE_STORE_PASSWORD="+password)
				cmd.Stdout, cmd.Stderr = &out, &problems
				if err := cmd.Run(); err != nil {
					t.Fatalf("lethe %s: %v\n%s%s", args[0], err, out.String(), problems.String())
				}
				return out.Bytes()
			}
			got := run("generate-map", "--root", "candidate", "--root-id", "public_id")
			if *update && i == 0 {
				if err := os.WriteFile(generatedMap, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(generatedMap)
			if err != nil {
				t.Fatal(err)
			}
			if diff := gocmp.Diff(strings.Split(string(want), "\n"), strings.Split(string(got), "\n")); diff != "" {
				t.Fatalf("the generator makes another map than %s (-want +got); -update writes it anew:\n%s", generatedMap, diff)
			}
			if out := run("validate", "--map", generatedMap); !bytes.Contains(out, []byte("fit for erasures")) {
				t.Errorf("the map as generated:\n%s", out)
			}
		})
	}
}

// flags of a command that opens the database.
func (d *database) flags() []string {
	flags := []string{"--store", "ats", "--user", "lethe", "--sslmode", "disable"}
	if p := d.store.PostgreSQL; p != nil {
		return append(flags, "--kind", "postgresql", "--host", p.Host, "--port", fmt.Sprint(p.Port), "--database", p.Database)
	}
	m := d.store.MySQL
	return append(flags, "--kind", "mysql", "--host", m.Host, "--port", fmt.Sprint(m.Port), "--database", m.Database)
}

var (
	openEntity  = regexp.MustCompile(`^    # (- name: |  )`)
	openComment = regexp.MustCompile(`^    # `)
)

// The map of the tests is the generated one with edits: what it has of its entities has their names, tables and keys and stands
// in their order; nothing that the generator asks is left open.
func TestMapIsTheGeneratedOneEdited(t *testing.T) {
	text, err := os.ReadFile(generatedMap)
	if err != nil {
		t.Fatal(err)
	}
	// What the generator leaves to a person is an entity as soon as its comments are none.
	lines := strings.Split(string(text), "\n")
	for i, line := range lines {
		if openEntity.MatchString(line) {
			lines[i] = openComment.ReplaceAllString(line, "    ")
		}
	}
	began, edited := readMap(t, []byte(strings.Join(lines, "\n"))), mapOfTests(t)
	ignored := func(spec v1alpha1.PersonalDataMapSpec, table string) bool {
		return slices.ContainsFunc(spec.Ignored, func(i v1alpha1.IgnoredTable) bool { return i.Table == table && len(i.Columns) == 0 })
	}
	at := 0
	for _, e := range began.Spec.Entities {
		i := slices.IndexFunc(edited.Spec.Entities, func(x v1alpha1.Entity) bool { return x.Name == e.Name })
		switch {
		case i < 0 && !ignored(edited.Spec, e.Table):
			t.Errorf("the map of the tests has nothing on %s", e.Table)
		case i < 0:
		case i < at:
			t.Errorf("%s stands in another place than the generator put it", e.Name)
		case edited.Spec.Entities[i].Table != e.Table || !slices.Equal(edited.Spec.Entities[i].Key, e.Key):
			t.Errorf("%s is another entity than the generated one", e.Name)
		default:
			at = i
		}
	}
	for _, i := range began.Spec.Ignored {
		if !ignored(edited.Spec, i.Table) {
			t.Errorf("%s is no longer ignored", i.Table)
		}
	}
	text, err = os.ReadFile(filepath.Join("testdata", "map.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "DECIDE") || strings.Contains(string(text), "YOURS") {
		t.Error("the map of the tests leaves something to decide")
	}
	t.Logf("%d entities as generated, %d after the edits", len(began.Spec.Entities), len(edited.Spec.Entities))
}

func mapOfTests(t *testing.T) *v1alpha1.PersonalDataMap {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "map.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return readMap(t, text)
}

func readMap(t *testing.T, text []byte) *v1alpha1.PersonalDataMap {
	t.Helper()
	pdmap := &v1alpha1.PersonalDataMap{}
	if err := yaml.UnmarshalStrict(text, pdmap); err != nil {
		t.Fatal(err)
	}
	return pdmap
}
