package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/lethe-dev/lethe/internal/backend"
)

// scanCount is how many keys the server looks at in one step of a scan. It serves nobody else meanwhile, for well under
// a millisecond.
const scanCount = 1000

// separatePasses is up to how many patterns that have nothing in common the server looks for one after the other; more
// are cheaper to look for here, in one pass over all keys.
const separatePasses = 3

// Resolve finds keys and members that exist.
func (b *Backend) Resolve(ctx context.Context, req backend.ResolveRequest) (*backend.Resolution, error) {
	l, err := newLookup(req)
	if err != nil {
		return nil, err
	}
	err = b.run(ctx, func(ctx context.Context) error {
		if err := b.probe(ctx, l); err != nil {
			return err
		}
		return b.scan(ctx, l)
	})
	if err != nil {
		return nil, err
	}
	return l.resolution(req)
}

// lookup is what a request asks for and what was found of it.
type lookup struct {
	entities []string
	probes   []probe
	patterns []pattern

	mu         sync.Mutex
	rows       []map[target][]int // of each query, with the indexes of the paths that lead there
	found, max int64
}

// probe is a target that one path names exactly; pattern is a path that may lead to many.
type probe struct {
	query, path int
	target      target
}

type pattern struct {
	query, path int
	glob        *glob
}

func newLookup(req backend.ResolveRequest) (*lookup, error) {
	l := &lookup{max: req.MaxRows, rows: make([]map[target][]int, len(req.Queries))}
	for i, q := range req.Queries {
		if len(q.AnyOf) > 0 || q.Table.Name != "" {
			return nil, of(refused("a store of keys has no tables", "name paths in the data map"), q.Entity)
		}
		l.entities = append(l.entities, q.Entity)
		l.rows[i] = map[target][]int{}
		for j, p := range q.Paths {
			if err := l.take(i, j, p); err != nil {
				return nil, of(err, q.Entity)
			}
		}
	}
	return l, nil
}

// of names the entity in an error.
func of(err error, entity string) error {
	var r *backend.RefusedError
	if errors.As(err, &r) && r.Entity == "" {
		r.Entity = entity
	}
	return err
}

func (l *lookup) take(query, path int, p backend.Path) error {
	if p.Kind == backend.KeyPattern {
		g, err := parse(p.Path)
		if err != nil {
			return err
		}
		if g.exact {
			l.probes = append(l.probes, probe{query, path, target{kind: wholeKey, key: g.prefix}})
		} else {
			l.patterns = append(l.patterns, pattern{query, path, g})
		}
		return nil
	}
	k, ok := memberKinds[p.Kind]
	switch {
	case !ok:
		return refused(fmt.Sprintf("a store of keys has no paths of the kind %q", p.Kind),
			"use KeyPattern, HashField, SetMember or SortedSetMember in the data map")
	case p.Path == "" || p.Member == "":
		return refused("a key, field or member is empty", "correct the path's template or the values in its columns")
	}
	l.probes = append(l.probes, probe{query, path, target{k, p.Path, p.Member}})
	return nil
}

// add notes that a path leads to the target. A scan may come by a key more than once.
func (l *lookup) add(query, path int, t target) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	rows := l.rows[query]
	known, ok := rows[t]
	if slices.Contains(known, path) {
		return nil
	}
	rows[t] = append(known, path)
	if ok {
		return nil
	}
	if l.found++; l.max > 0 && l.found > l.max {
		return &backend.TooManyRowsError{MaxRows: l.max}
	}
	return nil
}

func (l *lookup) resolution(req backend.ResolveRequest) (*backend.Resolution, error) {
	res := &backend.Resolution{Rows: make(map[string][]backend.Row, len(req.Queries))}
	for i, q := range req.Queries {
		rows := make([]backend.Row, 0, len(l.rows[i]))
		for t, paths := range l.rows[i] {
			key, err := t.encode()
			if err != nil {
				return nil, of(refused("a key cannot be written down", ""), q.Entity)
			}
			slices.Sort(paths)
			rows = append(rows, backend.Row{
				Key: backend.Key{key}, Values: make([]backend.Value, len(q.Columns)), Clocks: make([]backend.Clock, len(q.Clocks)),
				Flags: make([]bool, len(q.Flags)), Paths: paths, Name: t.key,
			})
		}
		slices.SortFunc(rows, func(a, b backend.Row) int { return strings.Compare(a.Key[0], b.Key[0]) })
		res.Rows[q.Entity] = rows
	}
	return res, nil
}

// probe asks for the targets that are named exactly.
func (b *Backend) probe(ctx context.Context, l *lookup) error {
	if len(l.probes) == 0 {
		return nil
	}
	if err := b.checkSingle(ctx); err != nil {
		return err
	}
	for chunk := range slices.Chunk(l.probes, b.config.BatchSize) {
		cmds, err := b.pipeline(ctx, len(chunk), func(p redis.Pipeliner, i int) redis.Cmder { return ask(ctx, p, chunk[i].target) })
		if err != nil {
			return err
		}
		for i, cmd := range cmds {
			there, err := answer(cmd)
			if err != nil {
				return translate(err, l.entities[chunk[i].query])
			}
			if !there {
				continue
			}
			if err := l.add(chunk[i].query, chunk[i].path, chunk[i].target); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkSingle checks the role of a single server. In a cluster each node answers for its own keys alone.
func (b *Backend) checkSingle(ctx context.Context) error {
	if b.config.Cluster {
		return nil
	}
	return b.checkRole(ctx, b.client)
}

// pipeline sends n commands in one round trip. The error is for all of them, and means that nothing is known of any.
func (b *Backend) pipeline(ctx context.Context, n int, add func(p redis.Pipeliner, i int) redis.Cmder) ([]redis.Cmder, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := b.trip(ctx)
	defer cancel()
	p := b.client.Pipeline()
	cmds := make([]redis.Cmder, n)
	for i := range cmds {
		cmds[i] = add(p, i)
	}
	if _, err := p.Exec(ctx); lost(err) {
		return cmds, err
	}
	return cmds, nil
}

// ask asks whether a target is there; answer reads it.
func ask(ctx context.Context, p redis.Pipeliner, t target) redis.Cmder {
	switch t.kind {
	case hashField:
		return p.HExists(ctx, t.key, t.member)
	case setMember:
		return p.SIsMember(ctx, t.key, t.member)
	case sortedSetMember:
		return p.ZScore(ctx, t.key, t.member)
	default:
		return p.Exists(ctx, t.key)
	}
}

func answer(cmd redis.Cmder) (bool, error) {
	err := cmd.Err()
	if errors.Is(err, redis.Nil) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	switch c := cmd.(type) {
	case *redis.IntCmd:
		return c.Val() > 0, nil
	case *redis.BoolCmd:
		return c.Val(), nil
	default: // the score of a member
		return true, nil
	}
}

// pass is one walk over all keys: the server leaves out those that do not match, if match is set.
type pass struct {
	match    string
	patterns []pattern
}

// passes orders the patterns so that the keys are walked over and sent as little as possible.
func passes(patterns []pattern) []pass {
	if len(patterns) == 0 {
		return nil
	}
	common, same := patterns[0].glob.prefix, true
	for _, p := range patterns {
		same = same && p.glob.pattern == patterns[0].glob.pattern
		for !strings.HasPrefix(p.glob.prefix, common) {
			common = common[:len(common)-1]
		}
	}
	switch {
	case same:
		return []pass{{patterns[0].glob.pattern, patterns}}
	case common != "":
		return []pass{{escape(common) + "*", patterns}}
	case len(patterns) > separatePasses:
		return []pass{{"", patterns}}
	}
	var list []pass
	for _, p := range patterns {
		list = append(list, pass{p.glob.pattern, []pattern{p}})
	}
	return list
}

// escape makes a pattern of a text that matches nothing but the text.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(s)
}

// scan looks for the patterns on the server, or on every master of a cluster.
func (b *Backend) scan(ctx context.Context, l *lookup) error {
	for _, p := range passes(l.patterns) {
		walk := func(ctx context.Context, on *redis.Conn) error { return b.walk(ctx, on, p, l) }
		var err error
		switch client := b.client.(type) {
		case *redis.ClusterClient:
			err = b.onMasters(ctx, client, walk)
		case *redis.Client:
			err = b.onServer(ctx, client, walk)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *Backend) onServer(ctx context.Context, client *redis.Client, f func(ctx context.Context, on *redis.Conn) error) error {
	conn := client.Conn()
	defer func() { _ = conn.Close() }()
	if err := b.checkRole(ctx, conn); err != nil {
		return err
	}
	if err := f(ctx, conn); err != nil {
		return err
	}
	return b.checkRole(ctx, conn)
}

// walk goes over all keys of one server. It stays on one connection: a cursor means nothing to another server, nor to
// the same one after it was started again.
func (b *Backend) walk(ctx context.Context, on *redis.Conn, p pass, l *lookup) error {
	var cursor uint64
	for {
		keys, next, err := b.step(ctx, on, p, cursor)
		if err != nil {
			return translate(err, l.entities[p.patterns[0].query])
		}
		for _, key := range keys {
			if err := p.take(key, l); err != nil {
				return err
			}
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func (b *Backend) step(ctx context.Context, on *redis.Conn, p pass, cursor uint64) ([]string, uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, 0, err
	}
	ctx, cancel := b.trip(ctx)
	defer cancel()
	return on.Scan(ctx, cursor, p.match, scanCount).Result()
}

// take adds the key to the patterns that match it. Where the server was asked for one pattern alone, both must agree:
// else its rules are not those of Redis, and what it finds may be somebody else's.
func (p pass) take(key string, l *lookup) error {
	if key == "" {
		return nil // no pattern that has a literal matches it
	}
	for _, q := range p.patterns {
		if q.glob.match(key) {
			if err := l.add(q.query, q.path, target{kind: wholeKey, key: key}); err != nil {
				return err
			}
		} else if p.match == q.glob.pattern {
			return of(refused("the server does not read patterns as Redis does", "use patterns without classes and escapes"), l.entities[q.query])
		}
	}
	return nil
}
