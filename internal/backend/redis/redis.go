// Package redis is the backend for Redis and what speaks as it does: a single server, a master known to Sentinels, or a
// cluster. Rows are keys or members of keys; see target.encode for their notation.
//
// Keys are looked up with SCAN, which finds every key that is there from its begin to its end. A key that is made
// meanwhile may be missed, as may one that moves from one node of a cluster to another: the latter is noticed.
package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/lethe-dev/lethe/internal/backend"
)

// Backend is a connection to a server or cluster.
type Backend struct {
	config Config
	client redis.UniversalClient
	slots  chan struct{} // one for each call at work
}

// The library would print addresses to standard error; what matters comes as an error.
var silence = sync.OnceFunc(logging.Disable)

// Open makes a backend. It does not connect: the first call does.
func Open(_ context.Context, c Config) (backend.Backend, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	silence()
	client, err := c.client()
	if err != nil {
		return nil, err
	}
	return &Backend{config: c, client: client, slots: make(chan struct{}, c.MaxConnections)}, nil
}

// Close releases the connections; calls at work fail.
func (b *Backend) Close() error { return b.client.Close() }

// Text is the value itself.
func (*Backend) Text(v backend.Value) string {
	if v == nil {
		return ""
	}
	return *v
}

// FromText is the text itself.
func (*Backend) FromText(text string) backend.Value { return &text }

// run calls f when one of the connections is free, and returns when ctx ends even if a server does not answer: the library
// only ends a round trip at its timeout. f must begin nothing after ctx has ended, and its results count only if run
// returns its error.
func (b *Backend) run(ctx context.Context, f func(ctx context.Context) error) error {
	select {
	case b.slots <- struct{}{}:
	case <-ctx.Done():
		return translate(ctx.Err(), "")
	}
	done := make(chan error, 1)
	go func() {
		defer func() { <-b.slots }()
		done <- f(ctx)
	}()
	select {
	case err := <-done:
		return translate(err, "")
	case <-ctx.Done():
		return translate(ctx.Err(), "")
	}
}

// trip bounds one round trip.
func (b *Backend) trip(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, b.config.Timeout)
}

// doer is a client or one connection of it.
type doer interface {
	Do(ctx context.Context, args ...any) *redis.Cmd
}

// hello asks a server what it is. All its users may ask.
func (b *Backend) hello(ctx context.Context, on doer) (map[string]string, error) {
	ctx, cancel := b.trip(ctx)
	defer cancel()
	list, err := on.Do(ctx, "HELLO").Slice()
	if err != nil {
		return nil, err
	}
	return pairs(list), nil
}

// pairs reads a map in the notation of the second protocol; values that are no text are left out.
func pairs(list []any) map[string]string {
	m := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		k, _ := list[i].(string)
		switch v := list[i+1].(type) {
		case string:
			m[k] = v
		case int64:
			m[k] = strconv.FormatInt(v, 10)
		}
	}
	return m
}

// checkRole makes sure that what is asked is a master with all keys, or the cluster that the configuration says: of a
// replica an answer may be old, and a single node of a cluster has but a part.
func (b *Backend) checkRole(ctx context.Context, on doer) error {
	h, err := b.hello(ctx, on)
	if err != nil {
		return err
	}
	if h["role"] != "master" {
		return unavailable("the server is a replica", nil)
	}
	if cluster := h["mode"] == "cluster"; cluster && !b.config.Cluster {
		return refused("the server is a node of a cluster", "set the cluster in the DataStore")
	} else if !cluster && b.config.Cluster {
		return refused("the server is not part of a cluster", "correct the DataStore")
	}
	return nil
}

// checkRoles does so with the server, or with all masters of the cluster.
func (b *Backend) checkRoles(ctx context.Context) error {
	cluster, ok := b.client.(*redis.ClusterClient)
	if !ok {
		return b.checkRole(ctx, b.client)
	}
	return b.onMasters(ctx, cluster, func(context.Context, *redis.Conn) error { return nil })
}

// Describe names the server's version. Of the user's rights it looks at, as far as the user may, those that are too many.
func (b *Backend) Describe(ctx context.Context) (backend.Description, error) {
	var d backend.Description
	err := b.run(ctx, func(ctx context.Context) error {
		if err := b.checkRoles(ctx); err != nil {
			return err
		}
		version, err := b.version(ctx)
		if err != nil {
			return err
		}
		d = backend.Description{Version: version, Excessive: b.excessive(ctx)}
		return nil
	})
	if err != nil {
		return backend.Description{}, err
	}
	return d, nil
}

// version is from INFO, or where the user may not ask for it, from what every user is told.
func (b *Backend) version(ctx context.Context) (string, error) {
	tripCtx, cancel := b.trip(ctx)
	defer cancel()
	info, err := b.client.Info(tripCtx, "server").Result()
	if lost(err) {
		return "", err
	}
	var number string
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, "redis_version:"); ok {
			number = strings.TrimSpace(v)
		}
	}
	if number == "" {
		h, err := b.hello(ctx, b.client)
		if err != nil {
			return "", err
		}
		number = h["version"]
	}
	return fmt.Sprintf("Redis %.100s", number), nil
}

// excessive rights of the user; none where the user may not ask.
func (b *Backend) excessive(ctx context.Context) []string {
	ctx, cancel := b.trip(ctx)
	defer cancel()
	name, err := b.client.Do(ctx, "ACL", "WHOAMI").Text()
	if err != nil {
		return nil
	}
	list, err := b.client.Do(ctx, "ACL", "GETUSER", name).Slice()
	if err != nil {
		return nil
	}
	for i := 0; i+1 < len(list); i += 2 {
		if list[i] == "keys" { // a list before Redis 7
			if keys, ok := list[i+1].([]any); ok {
				list[i+1] = strings.TrimSuffix(fmt.Sprintln(keys...), "\n")
			}
		}
	}
	user := pairs(list)
	allKeys := false
	for _, k := range strings.Fields(user["keys"]) {
		allKeys = allKeys || strings.TrimLeft(k, "~") == "*"
	}
	return tooMany(user["commands"], allKeys)
}

// tooMany reads the commands of a user, in which the last word on a category counts.
func tooMany(commands string, allKeys bool) []string {
	has := map[string]bool{}
	for _, word := range strings.Fields(commands) {
		category, ok := strings.CutPrefix(word[1:], "@")
		switch {
		case ok && category == "all":
			has = map[string]bool{"all": word[0] == '+', "admin": word[0] == '+', "dangerous": word[0] == '+'}
		case ok:
			has[category] = word[0] == '+'
			has["all"] = has["all"] && word[0] == '+'
		}
	}
	var list []string
	if has["all"] && allKeys {
		return []string{"all commands on all keys (+@all ~*)"}
	}
	for _, category := range []string{"admin", "dangerous"} {
		if has[category] {
			list = append(list, "@"+category)
		}
	}
	return list
}
