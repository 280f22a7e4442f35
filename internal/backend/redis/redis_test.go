package redis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/backendtest"
	"github.com/lethe-dev/lethe/internal/backend/redis"
	"github.com/lethe-dev/lethe/test/redistest"
)

var (
	ctx     = context.Background()
	server  *redistest.Server
	cluster *redistest.Cluster
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	if server, err = redistest.Start(ctx, redistest.Options{}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = server.Stop() }()
	if cluster, err = redistest.StartCluster(ctx, 3); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = cluster.Stop() }()
	return m.Run()
}

const (
	userName = "lethe"
	userPass = "secret-password"
)

// userRights are what the documentation says that Lethe needs, and no more.
var userRights = []any{"reset", "on", ">" + userPass, "~canary*", "+hello", "+scan", "+exists", "+hexists", "+sismember", "+zscore", "+unlink",
	"+hdel", "+srem", "+zrem", "+cluster|slots", "+cluster|nodes"}

// store is a server or a cluster that one test has for itself.
type store struct {
	nodes  []*redistest.Server
	client goredis.UniversalClient
	config redis.Config
}

func newStore(t *testing.T, nodes []*redistest.Server, client goredis.UniversalClient, c redis.Config) *store {
	t.Helper()
	t.Cleanup(func() { _ = client.Close() })
	s := &store{nodes: nodes, client: client, config: c}
	s.config.Username, s.config.Password = userName, userPass
	s.each(t, "FLUSHALL")
	s.each(t, append([]any{"ACL", "SETUSER", userName}, userRights...)...)
	return s
}

func single(t *testing.T) *store {
	return newStore(t, []*redistest.Server{server}, server.Client(), redis.Config{Addresses: []string{server.Addr()}})
}

func clustered(t *testing.T) *store {
	return newStore(t, cluster.Nodes, cluster.Client(), redis.Config{Addresses: cluster.Addrs()[:2], Cluster: true})
}

func TestContract(t *testing.T) {
	backendtest.RunKeys(t, func(t *testing.T) backendtest.KeyStore { return single(t) })
}

func TestContractOfClusters(t *testing.T) {
	backendtest.RunKeys(t, func(t *testing.T) backendtest.KeyStore { return clustered(t) })
}

// each runs a command on every node.
func (s *store) each(t *testing.T, args ...any) {
	t.Helper()
	for _, n := range s.nodes {
		c := n.Client()
		err := c.Do(ctx, args...).Err()
		_ = c.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func open(t *testing.T, c redis.Config) backend.Backend {
	t.Helper()
	b, err := redis.Open(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func (s *store) Open(t *testing.T, l backendtest.Limits) backend.Backend {
	c := s.config
	c.BatchSize, c.Timeout = l.BatchSize, l.StatementTimeout
	return open(t, c)
}

func (s *store) Do(t *testing.T, args ...any) any {
	t.Helper()
	if s.config.Cluster && args[0] == "MSET" { // its keys are on different nodes
		p := s.client.Pipeline()
		for i := 1; i < len(args); i += 2 {
			p.Do(ctx, "SET", args[i], args[i+1])
		}
		if _, err := p.Exec(ctx); err != nil {
			t.Fatal(err)
		}
		return nil
	}
	v, err := s.client.Do(ctx, args...).Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		t.Fatalf("%v: %v", args[0], err)
	}
	return v
}

func (s *store) Names(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, n := range s.nodes {
		c := n.Client()
		list, err := c.Keys(ctx, "*").Result()
		_ = c.Close()
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, list...)
	}
	slices.Sort(names)
	return names
}

func (s *store) Stop(t *testing.T) func() {
	for _, n := range s.nodes {
		if err := n.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		for _, n := range s.nodes {
			if err := n.Restart(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if s.config.Cluster {
			if err := cluster.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
		// Users live in memory.
		s.each(t, append([]any{"ACL", "SETUSER", userName}, userRights...)...)
	}
}

func (s *store) Pause(t *testing.T) func() {
	resume := sync.OnceFunc(func() {
		for _, n := range s.nodes {
			if err := n.Resume(); err != nil {
				t.Error(err)
			}
		}
		if s.config.Cluster {
			if err := cluster.Wait(ctx); err != nil {
				t.Error(err)
			}
		}
	})
	t.Cleanup(resume)
	for _, n := range s.nodes {
		if err := n.Pause(); err != nil {
			t.Fatal(err)
		}
	}
	return resume
}

func (s *store) Forbid(t *testing.T, command string) {
	t.Helper()
	s.each(t, "ACL", "SETUSER", userName, "-"+command)
}

// wantError fails unless err is of the type, and its text holds the words and nothing of keys or credentials.
func wantError[E error](t *testing.T, err error, words ...string) {
	t.Helper()
	var e E
	if !errors.As(err, &e) {
		t.Fatalf("got error %v (%T), want a %T", err, err, e)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not name %q", err, w)
		}
	}
	for _, data := range []string{"canary", userPass, "default-password", "127.0.0.1"} {
		if strings.Contains(err.Error(), data) {
			t.Errorf("error %q holds %q", err, data)
		}
	}
}

func paths(ps ...backend.Path) backend.ResolveRequest {
	return backend.ResolveRequest{Queries: []backend.Query{{Entity: "keys", Paths: ps}}}
}

func unlink(rows ...string) []backend.Operation {
	op := backend.Operation{Entity: "keys", Action: backend.Unlink}
	for _, r := range rows {
		op.Keys = append(op.Keys, backend.Key{r})
	}
	return []backend.Operation{op}
}

func TestRefusesWrongConfigurations(t *testing.T) {
	for name, c := range map[string]redis.Config{
		"no address":             {},
		"no port":                {Addresses: []string{"localhost"}},
		"no host":                {Addresses: []string{":6379"}},
		"a port that is none":    {Addresses: []string{"localhost:0"}},
		"a port out of range":    {Addresses: []string{"localhost:70000"}},
		"two single servers":     {Addresses: []string{"a:1", "b:1"}},
		"a cluster of Sentinels": {Addresses: []string{"a:1"}, Cluster: true, MasterName: "m"},
		"a cluster's database":   {Addresses: []string{"a:1"}, Cluster: true, Database: 1},
		"a negative database":    {Addresses: []string{"a:1"}, Database: -1},
		"a user alone":           {Addresses: []string{"a:1"}, Username: "u"},
		"certificates unused":    {Addresses: []string{"a:1"}, CACert: []byte("x")},
		"no certificate":         {Addresses: []string{"a:1"}, TLS: true, CACert: []byte("x")},
		"a key without":          {Addresses: []string{"a:1"}, TLS: true, ClientKey: []byte("x")},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := redis.Open(ctx, c)
			wantError[*backend.RefusedError](t, err)
		})
	}
	if s := fmt.Sprintf("%v %+v %#v %s", single(t).config, single(t).config, single(t).config, single(t).config); strings.Contains(s, userPass) {
		t.Errorf("the password is printed: %s", s)
	}
}

func TestWrongServers(t *testing.T) {
	s, c := single(t), clustered(t)
	clusterNode, notCluster := c.config, s.config
	clusterNode.Addresses, clusterNode.Cluster = clusterNode.Addresses[:1], false
	notCluster.Cluster = true
	wrongPass, nobody, noPass, tooFar := s.config, s.config, s.config, s.config
	wrongPass.Password, nobody.Username, tooFar.Database = "canary", "canary", 4711
	noPass.Username, noPass.Password = "", ""
	gone := s.config
	gone.Addresses = []string{"127.0.0.1:1"}
	for _, tc := range []struct {
		name    string
		config  redis.Config
		words   string
		refused bool
	}{
		{"a node of a cluster", clusterNode, "cluster", true},
		{"not a cluster", notCluster, "", true},
		{"a wrong password", wrongPass, "password", true},
		{"a wrong user", nobody, "user", true},
		{"no password", noPass, "password", true},
		{"no such database", tooFar, "", true},
		{"nobody there", gone, "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := open(t, tc.config)
			_, err := b.Describe(ctx)
			_, err2 := b.Resolve(ctx, paths(backend.Path{Path: "canary:*", Kind: backend.KeyPattern}))
			_, err3 := b.Execute(ctx, backend.Batch{Operations: unlink(`["Key","canary:1"]`)})
			_, err4 := b.Verify(ctx, unlink(`["Key","canary:1"]`))
			for _, err := range []error{err, err2, err3, err4} {
				if tc.refused {
					wantError[*backend.RefusedError](t, err, tc.words)
				} else {
					wantError[*backend.UnavailableError](t, err, tc.words)
				}
			}
		})
	}
}

func TestAReplicaIsUnavailable(t *testing.T) {
	replica, err := redistest.Start(ctx, redistest.Options{Settings: map[string]string{"replicaof": fmt.Sprintf("127.0.0.1 %d", server.Port)}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = replica.Stop() }()
	b := open(t, redis.Config{Addresses: []string{replica.Addr()}, Password: replica.Password})
	_, err = b.Describe(ctx)
	wantError[*backend.UnavailableError](t, err, "replica")
	_, err = b.Resolve(ctx, paths(backend.Path{Path: "canary:*", Kind: backend.KeyPattern}))
	wantError[*backend.UnavailableError](t, err, "replica")
	_, err = b.Execute(ctx, backend.Batch{Operations: unlink(`["Key","canary:1"]`)})
	wantError[*backend.UnavailableError](t, err, "replica")
	_, err = b.Verify(ctx, unlink(`["Key","canary:1"]`))
	wantError[*backend.UnavailableError](t, err, "replica")
}

func TestSentinels(t *testing.T) {
	s := single(t)
	sentinel, err := redistest.StartSentinel(ctx, server, "main")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sentinel.Stop() }()
	c := s.config
	c.Addresses, c.MasterName = []string{sentinel.Addr()}, "main"
	b := open(t, c)
	s.Do(t, "SET", "canary:1", "")
	s.Do(t, "SET", "canary:2", "")
	res, err := b.Resolve(ctx, paths(backend.Path{Path: "canary:[1]", Kind: backend.KeyPattern}))
	if err != nil || len(res.Rows["keys"]) != 1 {
		t.Fatalf("found %+v, %v", res, err)
	}
	if _, err = b.Execute(ctx, backend.Batch{Operations: unlink(res.Rows["keys"][0].Key[0])}); err != nil {
		t.Fatal(err)
	}
	if names := s.Names(t); !slices.Equal(names, []string{"canary:2"}) {
		t.Errorf("left: %q", names)
	}
	c.MasterName = "other"
	_, err = open(t, c).Describe(ctx)
	if err == nil {
		t.Error("a master that the Sentinels do not know")
	}
}

func TestTLS(t *testing.T) {
	srv, err := redistest.Start(ctx, redistest.Options{TLS: true, ClientCert: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Stop() }()
	other, err := redistest.Start(ctx, redistest.Options{TLS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Stop() }()
	good := redis.Config{Addresses: []string{srv.Addr()}, Password: srv.Password, TLS: true, CACert: srv.CACert, ClientCert: srv.ClientCert, ClientKey: srv.ClientKey}
	d, err := open(t, good).Describe(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(d.Excessive, []string{"all commands on all keys (+@all ~*)"}) {
		t.Errorf("Excessive: %q", d.Excessive)
	}
	wrongCA, systemCA, noCert, wrongName, plain := good, good, good, good, good
	wrongCA.CACert, systemCA.CACert = other.CACert, nil
	noCert.ClientCert, noCert.ClientKey = nil, nil
	wrongName.Addresses = []string{strings.Replace(srv.Addr(), "127.0.0.1", "localhost", 1)}
	plain.Addresses, plain.Password = []string{server.Addr()}, server.Password
	for name, c := range map[string]redis.Config{"another authority": wrongCA, "the system's authorities": systemCA, "another name": wrongName,
		"no client certificate": noCert} {
		t.Run(name, func(t *testing.T) {
			b := open(t, c)
			_, err := b.Describe(ctx)
			// The connection may be gone before the server's reason is read; another time it is not.
			for range 100 {
				var u *backend.UnavailableError
				if name != "no client certificate" || !errors.As(err, &u) {
					break
				}
				wantError[*backend.UnavailableError](t, err)
				_, err = b.Describe(ctx)
			}
			wantError[*backend.RefusedError](t, err)
		})
	}
	plain.Timeout = 200 * time.Millisecond
	_, err = open(t, plain).Describe(ctx)
	wantError[*backend.UnavailableError](t, err) // it waits for the rest of what it takes for a command
	good.TLS, good.CACert, good.ClientCert, good.ClientKey = false, nil, nil, nil
	_, err = open(t, good).Describe(ctx)
	wantError[*backend.UnavailableError](t, err)
}

// TestLostAnswers: what was done although its answer never came is done again without effect.
func TestLostAnswers(t *testing.T) {
	s := single(t)
	proxy, err := redistest.NewProxy(server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = proxy.Close() }()
	c := s.config
	c.Addresses, c.Timeout = []string{proxy.Addr()}, 300*time.Millisecond
	b := open(t, c)
	s.Do(t, "SET", "canary:1", "")
	ops := unlink(`["Key","canary:1"]`)
	if _, err := b.Verify(ctx, ops); err != nil { // so that a connection is there
		t.Fatal(err)
	}
	_, err = b.Execute(ctx, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error { proxy.Mute(true); return nil }})
	wantError[*backend.UnavailableError](t, err)
	_, err = b.Verify(ctx, ops)
	wantError[*backend.UnavailableError](t, err)
	proxy.Drop()
	proxy.Mute(false)
	again := open(t, c)
	res, err := again.Execute(ctx, backend.Batch{Operations: ops})
	if err != nil || res.Affected[0] != 0 {
		t.Errorf("again: %+v, %v", res, err)
	}
	if left, err := again.Verify(ctx, ops); err != nil || left[0] != 0 {
		t.Errorf("left %v, %v", left, err)
	}
	// A connection that ends in the middle of a call.
	_, err = again.Execute(ctx, backend.Batch{Operations: ops, BeforeEffect: func(context.Context) error { return proxy.Close() }})
	wantError[*backend.UnavailableError](t, err)
}

// TestCrash: the server dies between the round trips of a batch, and the batch is ended afterwards.
func TestCrash(t *testing.T) {
	s := single(t)
	var rows []string
	for i := range 300 {
		rows = append(rows, fmt.Sprintf(`["Key","canary:%d"]`, i))
		s.Do(t, "SET", fmt.Sprint("canary:", i), "")
	}
	b := s.Open(t, backendtest.Limits{BatchSize: 1})
	s.each(t, "CLIENT", "PAUSE", 50, "WRITE") // so that the batch is at work when the server goes
	killed := make(chan func())
	_, err := b.Execute(ctx, backend.Batch{Operations: unlink(rows...), BeforeEffect: func(context.Context) error {
		go func() { killed <- s.Stop(t) }()
		return nil
	}})
	wantError[*backend.UnavailableError](t, err)
	(<-killed)()
	left := len(s.Names(t))
	b = s.Open(t, backendtest.Limits{})
	if n, err := b.Verify(ctx, unlink(rows...)); err != nil || n[0] != int64(left) {
		t.Errorf("%d are left, Verify: %v, %v", left, n, err)
	}
	if res, err := b.Execute(ctx, backend.Batch{Operations: unlink(rows...)}); err != nil || res.Affected[0] != int64(left) {
		t.Errorf("%d were left, Execute: %v, %v", left, res, err)
	}
	if names := s.Names(t); len(names) != 0 {
		t.Errorf("left: %q", names)
	}
}

// TestClusterIncomplete: without one of its nodes a cluster does not pass for one that has no such keys.
func TestClusterIncomplete(t *testing.T) {
	s := clustered(t)
	for i := range 100 {
		s.Do(t, "SET", fmt.Sprint("canary:1:", i), "")
	}
	s.config.Timeout = 2 * time.Second
	b := open(t, s.config)
	req := paths(backend.Path{Path: "canary:1:*", Kind: backend.KeyPattern})
	res, err := b.Resolve(ctx, req)
	if err != nil || len(res.Rows["keys"]) != 100 {
		t.Fatalf("found %d, %v", len(res.Rows["keys"]), err)
	}
	var rows []string
	for _, r := range res.Rows["keys"] {
		rows = append(rows, r.Key[0])
	}
	if err := s.nodes[2].Kill(); err != nil {
		t.Fatal(err)
	}
	_, err = b.Resolve(ctx, req)
	wantError[*backend.UnavailableError](t, err)
	_, err = b.Verify(ctx, unlink(rows...))
	wantError[*backend.UnavailableError](t, err)
	_, err = b.Execute(ctx, backend.Batch{Operations: unlink(rows...)})
	wantError[*backend.UnavailableError](t, err)
	if err := errors.Join(s.nodes[2].Restart(ctx), cluster.Wait(ctx)); err != nil {
		t.Fatal(err)
	}
	s.each(t, append([]any{"ACL", "SETUSER", userName}, userRights...)...)
	b = open(t, s.config)
	if _, err := b.Execute(ctx, backend.Batch{Operations: unlink(rows...)}); err != nil {
		t.Fatal(err)
	}
	if names := s.Names(t); len(names) != 0 {
		t.Errorf("left: %q", names)
	}
}

// TestClusterMoves: while slots move from one node to another, a scan could miss keys.
func TestClusterMoves(t *testing.T) {
	s := clustered(t)
	s.Do(t, "SET", "canary:1:a", "")
	from, to := s.nodes[0].Client(), s.nodes[1].Client()
	defer func() { _ = errors.Join(from.Close(), to.Close()) }()
	target, err := to.Do(ctx, "CLUSTER", "MYID").Text()
	if err != nil {
		t.Fatal(err)
	}
	if err := from.Do(ctx, "CLUSTER", "SETSLOT", 0, "MIGRATING", target).Err(); err != nil {
		t.Fatal(err)
	}
	b := open(t, s.config)
	req := paths(backend.Path{Path: "canary:1:*", Kind: backend.KeyPattern})
	_, err = b.Resolve(ctx, req)
	wantError[*backend.UnavailableError](t, err, "moves")
	if err := from.Do(ctx, "CLUSTER", "SETSLOT", 0, "STABLE").Err(); err != nil {
		t.Fatal(err)
	}
	if res, err := b.Resolve(ctx, req); err != nil || len(res.Rows["keys"]) != 1 {
		t.Errorf("found %+v, %v", res, err)
	}
}

func TestOtherDatabasesAreLeftAlone(t *testing.T) {
	s := single(t)
	s.Do(t, "SET", "canary:1", "in 0")
	c := s.config
	c.Database = 3
	_, err := open(t, c).Describe(ctx)
	wantError[*backend.RefusedError](t, err, "+select")
	s.each(t, "ACL", "SETUSER", userName, "+select")
	b := open(t, c)
	if res, err := b.Execute(ctx, backend.Batch{Operations: unlink(`["Key","canary:1"]`)}); err != nil || res.Affected[0] != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	if res, err := b.Resolve(ctx, paths(backend.Path{Path: "canary:*", Kind: backend.KeyPattern})); err != nil || len(res.Rows["keys"]) != 0 {
		t.Errorf("%+v, %v", res, err)
	}
	if v := s.Do(t, "GET", "canary:1"); v != "in 0" {
		t.Errorf("in the other database: %v", v)
	}
}
