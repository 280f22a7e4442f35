// Package crash_test kills a real operator, as kill -9 does, at every step boundary of an erasure, and compares what is
// left when another one has finished with what an undisturbed operator leaves. The boundaries are the points of package
// crash: the binary names them, so a new one is covered by itself, and one that no scenario reaches fails the suite.
package crash_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/test/harness"
	"github.com/lethe-dev/lethe/test/pgtest"
)

// lanes are the clusters that cases run on: an operator sees all namespaces, so a cluster has one case at a time.
const lanes = 2

var (
	binary    string
	postgres  *pgtest.Server
	free      = make(chan *harness.Cluster, lanes)
	databases atomic.Int64
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	folder, err := os.MkdirTemp("", "lethe-crash-")
	if err != nil {
		return failed(err)
	}
	defer func() { _ = os.RemoveAll(folder) }()
	var all []*harness.Cluster
	var mu sync.Mutex
	defer func() {
		for _, c := range all {
			_ = c.Stop()
		}
		if postgres != nil {
			_ = postgres.Stop()
		}
	}()
	var parts errgroup.Group
	parts.Go(func() (err error) {
		binary, err = harness.BuildLethe(context.Background(), folder, "crashpoints")
		return err
	})
	parts.Go(func() (err error) {
		if postgres, err = pgtest.Start(context.Background(), pgtest.Options{}); err != nil {
			return err
		}
		return makeTemplate(context.Background(), postgres)
	})
	for range lanes {
		parts.Go(func() error {
			c, err := harness.StartCluster()
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, c)
			free <- c
			return nil
		})
	}
	if err := parts.Wait(); err != nil {
		return failed(err)
	}
	return m.Run()
}

func failed(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// administer runs a statement of PostgreSQL's superuser.
func administer(statement string) error {
	ctx := context.Background()
	conn, err := postgres.Connect(ctx, "postgres")
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// onCluster runs a case in parallel with others, on a cluster of its own.
func onCluster(t *testing.T, name string, f func(t *testing.T, c *harness.Cluster)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		c := <-free
		t.Cleanup(func() { free <- c })
		f(t, c)
	})
}

// undisturbed is how a scenario goes when nobody kills the operator.
type undisturbed struct {
	scenario
	end *end
	// hits are the points by generation, in their order.
	hits [][]string
}

func TestKilledAnywhereItEndsAsIfUndisturbed(t *testing.T) {
	lives := make([]undisturbed, len(scenarios()))
	t.Run("undisturbed", func(t *testing.T) {
		for i, s := range scenarios() {
			onCluster(t, s.name, func(t *testing.T, c *harness.Cluster) { lives[i] = liveUndisturbed(t, c, s) })
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	for _, point := range crashPoints(t) {
		if firstToReach(lives, point) < 0 && !killedElsewhere[point] {
			t.Errorf("crash point %s is reached by no scenario: add one, or drop the point", point)
		}
	}
	for _, life := range lives {
		for _, k := range killsOf(t, life, lives) {
			onCluster(t, life.name+"/"+k.String(), func(t *testing.T, c *harness.Cluster) { liveAndDie(t, c, life, k) })
		}
	}
	for _, double := range doubleKills {
		life := lives[slices.IndexFunc(lives, func(l undisturbed) bool { return l.name == double.scenario })]
		onCluster(t, fmt.Sprintf("%s/%s, then %s", life.name, double.first, double.second),
			func(t *testing.T, c *harness.Cluster) { liveAndDie(t, c, life, double.first, double.second) })
	}
}

// doubleKills kill the operator that takes over, too.
var doubleKills = []struct {
	scenario      string
	first, second kill
}{
	{"immediate", kill{Point: "step/effect-done", Nth: 1}, kill{Point: "step/effect-done", Nth: 1}},
	{"immediate", kill{Point: "step/intent-recorded", Nth: 1}, kill{Point: "step/effect-done", Nth: 1}},
	{"immediate", kill{Point: "step/batch-saved", Nth: 1}, kill{Point: "run/verified", Nth: 1}},
	{"immediate", kill{Point: "request/begun-in-status", Nth: 1}, kill{Point: "run/planned", Nth: 1}},
	{"retained", kill{Point: "run/residue-sealed", Nth: 1}, kill{Point: "run/residue-sealed", Nth: 1}},
	{"cancelled", kill{Point: "request/deactivated-in-store", Nth: 1}, kill{Point: "request/reactivated-in-store", Nth: 1}},
	{"duplicate", kill{Point: "request/received", Nth: 1}, kill{Point: "run/finished", Nth: 1}},
}

func liveUndisturbed(t *testing.T, c *harness.Cluster, s scenario) undisturbed {
	w := newWorld(t, c, s.postgres)
	s.script(w)
	life := undisturbed{scenario: s, end: w.end()}
	w.verifyUndisturbed(s, life.end)
	for g := 0; g <= w.generation; g++ {
		life.hits = append(life.hits, w.hits(g))
	}
	return life
}

func liveAndDie(t *testing.T, c *harness.Cluster, life undisturbed, kills ...kill) {
	w := newWorld(t, c, life.postgres, kills...)
	life.script(w)
	w.equal("the end of an undisturbed life", life.end, w.end())
}

func (w *world) equal(what string, want, got any) {
	w.t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		w.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// killsOf chooses where to kill in a scenario: at each point that no scenario before it comes by, and at those that matter
// here for a reason of their own. LETHE_CRASH_EVERYWHERE=1 kills at every hit of every scenario.
func killsOf(t *testing.T, life undisturbed, lives []undisturbed) []kill {
	t.Helper()
	if os.Getenv("LETHE_CRASH_EVERYWHERE") != "" {
		return everyHit(life)
	}
	var kills []kill
	if life.postgres {
		for _, point := range crashPoints(t) {
			if g := life.reaches(point); g >= 0 && !earlierInPostgreSQL(lives, life.name, point) {
				kills = append(kills, kill{Generation: g, Point: point, Nth: 1})
			}
		}
		return kills
	}
	for _, point := range crashPoints(t) {
		if first := firstToReach(lives, point); first >= 0 && lives[first].name == life.name {
			kills = append(kills, kill{Generation: life.reaches(point), Point: point, Nth: 1})
		}
	}
	return append(kills, life.also...)
}

// killedElsewhere are points that only a cluster with Jobs comes by: test/promises plays the kubelet, and kills there.
var killedElsewhere = map[string]bool{"sweep/job-recorded": true, "sweep/job-created": true}

// earlierInPostgreSQL tells whether a scenario before has its vault in PostgreSQL too and comes by the point.
func earlierInPostgreSQL(lives []undisturbed, name, point string) bool {
	for _, l := range lives {
		if l.name == name {
			return false
		}
		if l.postgres && l.reaches(point) >= 0 {
			return true
		}
	}
	return false
}

// firstToReach is the first scenario that comes by a point, or -1: before an orderly restart, or else after one.
func firstToReach(lives []undisturbed, point string) int {
	early := slices.IndexFunc(lives, func(l undisturbed) bool { return slices.Contains(l.hits[0], point) })
	if early >= 0 {
		return early
	}
	return slices.IndexFunc(lives, func(l undisturbed) bool { return l.reaches(point) >= 0 })
}

// reaches is the generation in which the scenario comes by a point first, or -1.
func (l undisturbed) reaches(point string) int {
	return slices.IndexFunc(l.hits, func(hits []string) bool { return slices.Contains(hits, point) })
}

// everyHit is a kill at each hit of a scenario, but for repetitions at rest.
func everyHit(life undisturbed) []kill {
	var kills []kill
	for generation, hits := range life.hits {
		count := map[string]int{}
		for _, point := range hits {
			count[point]++
			if count[point] == 1 || strings.HasPrefix(point, "step/") {
				kills = append(kills, kill{Generation: generation, Point: point, Nth: count[point]})
			}
		}
	}
	return kills
}

var crashPoints = func() func(t *testing.T) []string {
	var once sync.Once
	var points []string
	return func(t *testing.T) []string {
		once.Do(func() {
			out, err := exec.Command(binary, "crash-points").Output()
			if err != nil {
				t.Fatal(err)
			}
			points = strings.Fields(string(out))
		})
		if len(points) == 0 {
			t.Fatal("the binary names no crash points")
		}
		return points
	}
}()
