package sweeper

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/sql/sqlite"
	keysmemory "github.com/lethe-dev/lethe/internal/keys/memory"
	"github.com/lethe-dev/lethe/internal/planner"
	"github.com/lethe-dev/lethe/internal/retention"
	"github.com/lethe-dev/lethe/internal/state"
	"github.com/lethe-dev/lethe/internal/stores"
)

type onlyStore struct{ *stores.Store }

func (o onlyStore) Get(context.Context, string, string) (*stores.Store, error) { return o.Store, nil }

// doubtedShard is about to treat candidates 100 to 102, each with a file that has its number, when it ends.
func doubtedShard(t *testing.T) (s *shard, doubted *page, app *sql.DB) {
	t.Helper()
	g, ctx, root := NewWithT(t), context.Background(), t.TempDir()
	app, err := sql.Open("sqlite", "file:"+filepath.Join(root, "app.db"))
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = app.Close() })
	_, err = app.Exec(`CREATE TABLE candidate (id INTEGER PRIMARY KEY NOT NULL, seen TEXT, status TEXT);
INSERT INTO candidate VALUES (100, '2020-01-01', ''), (101, '2020-01-01', ''), (102, '2020-01-01', '')`)
	g.Expect(err).NotTo(HaveOccurred())
	b, err := sqlite.Open(ctx, sqlite.Config{Root: root, Path: "app.db"})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = b.Close() })

	candidate := v1alpha1.Entity{Name: "candidate", Store: "main", Table: "candidate", Key: []string{"id"}, Category: "candidate", Action: v1alpha1.ActionDelete,
		Root: &v1alpha1.Root{Rows: v1alpha1.RowsOne}, IdentifiedBy: []v1alpha1.IdentityMatch{{Column: "id", Identity: "id"}},
		Clocks: []v1alpha1.Clock{{Name: "seen", Column: "seen"}}, Files: []v1alpha1.FileReference{{Store: "files", Path: "{id}"}}}
	spec := v1alpha1.RetentionPolicySpec{Rules: []v1alpha1.RetentionRule{{Name: "old", Entity: "people/candidate", Clock: "seen", Period: "P1Y", Action: v1alpha1.RuleDelete,
		Conditions: []v1alpha1.Condition{{Column: "status", Operator: v1alpha1.OperatorNotIn, Values: []string{"Open"}}}, Unless: []v1alpha1.Condition{{Column: "status", Operator: v1alpha1.OperatorIn, Values: []string{"Invited"}}}}}}
	rules, problems := retention.Compile(spec, []planner.MapSource{{Name: "people", UID: "map", Generation: 1, Spec: v1alpha1.PersonalDataMapSpec{Entities: []v1alpha1.Entity{candidate}}}})
	g.Expect(problems).To(BeEmpty())
	store := &stores.Store{Backend: b, Name: "main", Kind: planner.TableStore, Limits: v1alpha1.StoreLimits{MaxRowsPerRun: 100}}
	able := b.(backend.Sweeper)
	r := &run{Sweeper: &Sweeper{Stores: onlyStore{store}, Keys: keysmemory.New(), Clock: clock.RealClock{}}, task: Task{Namespace: "n", Policy: spec},
		record: &state.Run{Sweep: &state.Sweep{Rule: "old", Until: time.Now()}}}
	s = &shard{run: r, target: rules.Of("old")[0], record: &state.Run{Shard: &state.Shard{}}, store: store, able: able}

	doubted = &page{}
	_, err = able.SweepBatch(ctx, s.target.Left(time.Now()), backend.SweepBatch{Limit: 3, BeforeEffect: func(_ context.Context, r *backend.SweepResult) error {
		doubted.Last, doubted.Keys, doubted.Affected = r.Last, r.Keys, r.Affected
		doubted.Files, err = s.files(r.Collected)
		return errors.Join(err, errLook)
	}})
	g.Expect(err).To(MatchError(errLook))
	g.Expect(doubted.Files).To(HaveLen(3))
	return s, doubted, app
}

// Others have changed a page that was not done. The files of what is there still stay, due or not.
func TestTheFilesOfRecordsThatStayAreKept(t *testing.T) {
	for _, c := range []struct{ name, change, files string }{
		{name: "gone", files: "100"},
		{name: "others fell due before and between", change: "INSERT INTO candidate VALUES (1, '2020-01-01', ''), (2, '2020-01-01', ''), (3, '2020-01-01', '')", files: "100"},
		{name: "kept now", change: "UPDATE candidate SET status = 'Invited' WHERE id = 101", files: "100"},
		{name: "not what the rule is about", change: "UPDATE candidate SET status = 'Open' WHERE id = 101", files: "100"},
		{name: "young again", change: "UPDATE candidate SET seen = date('now', '-1 day') WHERE id = 102", files: "100"},
		{name: "without a time", change: "UPDATE candidate SET seen = NULL WHERE id = 102", files: "100"},
		{name: "in the future", change: "UPDATE candidate SET seen = '2999-01-01'", files: "100"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, ctx := NewWithT(t), context.Background()
			s, doubted, app := doubtedShard(t)
			_, err := app.Exec("DELETE FROM candidate WHERE id = 100;" + c.change)
			g.Expect(err).NotTo(HaveOccurred())
			left, err := s.left(ctx, doubted)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(left).To(Equal(2))
			files, err := s.filesWithout(ctx, doubted)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(files).To(HaveLen(1))
			g.Expect(files[0].Path.Path).To(Equal(c.files))
		})
	}
}

// What a page in doubt counts changes once its files are gone: a worker saves its counts after each try.
func TestAFailedRecoveryChangesNoCounts(t *testing.T) {
	g, ctx := NewWithT(t), context.Background()
	s, doubted, app := doubtedShard(t)
	s.at.Pending, s.record.Shard.Done = doubted, 3
	_, err := app.Exec("DELETE FROM candidate WHERE id = 100")
	g.Expect(err).NotTo(HaveOccurred())
	s.Stores = away{errors.New("away")}
	for range 2 {
		g.Expect(s.recover(ctx)).To(MatchError("away"))
		g.Expect(s.at.Pending).To(BeIdenticalTo(doubted))
		g.Expect(s.record.Shard.Done).To(BeEquivalentTo(3))
		g.Expect(s.record.Shard.Counts).To(BeEmpty())
	}
}
