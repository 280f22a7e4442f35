package redis

import (
	"context"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

const slotCount = 16384

// coverage gathers which slots the masters of a cluster own.
type coverage struct {
	mu    sync.Mutex
	owned [slotCount]bool
}

// complete makes sure that no slot was left out: the keys of a master that is not known would be missed in silence.
func (c *coverage) complete() error {
	for _, owned := range c.owned {
		if !owned {
			return unavailable("a part of the cluster's keys has no node at the moment, or moves to another one", nil)
		}
	}
	return nil
}

// add takes what a node owns in the words of CLUSTER NODES: 0-5460 5462 [5461->-id].
func (c *coverage) add(slots string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, word := range strings.Fields(slots) {
		if strings.HasPrefix(word, "[") {
			return unavailable("the cluster moves keys from one node to another at the moment", nil)
		}
		from, to, ranged := strings.Cut(word, "-")
		if !ranged {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || first < 0 || last >= slotCount {
			return refused("the cluster describes its nodes in a way that is not known", "use Redis 6 or later")
		}
		for i := first; i <= last; i++ {
			c.owned[i] = true
		}
	}
	return nil
}

// slotsOf is what a node says that it owns.
func (b *Backend) slotsOf(ctx context.Context, node doer) (string, error) {
	ctx, cancel := b.trip(ctx)
	defer cancel()
	nodes, err := node.Do(ctx, "CLUSTER", "NODES").Text()
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(nodes) {
		fields := strings.Fields(line)
		if len(fields) >= 8 && strings.Contains(fields[2], "myself") {
			return strings.Join(fields[8:], " "), nil
		}
	}
	return "", refused("the cluster describes its nodes in a way that is not known", "use Redis 6 or later")
}

// onMasters calls f with a connection of its own to every master of the cluster, and makes sure that each owned the same
// slots before and after and that together they own all: a key that is there all the time is then on a node while f is.
func (b *Backend) onMasters(ctx context.Context, cluster *redis.ClusterClient, f func(ctx context.Context, on *redis.Conn) error) error {
	var all coverage
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, client *redis.Client) error {
		conn := client.Conn()
		defer func() { _ = conn.Close() }()
		if err := b.checkRole(ctx, conn); err != nil {
			return err
		}
		before, err := b.slotsOf(ctx, conn)
		if err != nil {
			return err
		}
		if err := all.add(before); err != nil {
			return err
		}
		if err := f(ctx, conn); err != nil {
			return err
		}
		after, err := b.slotsOf(ctx, conn)
		if err == nil && after != before {
			err = unavailable("the cluster moved keys from one node to another meanwhile", nil)
		}
		return err
	})
	if err != nil {
		return err
	}
	return all.complete()
}
