package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/lethe-dev/lethe/internal/backend"
)

// item is one target of an operation.
type item struct {
	op     int
	target target
}

// items are the targets of all operations.
func items(ops []backend.Operation) ([]item, error) {
	var list []item
	for i, op := range ops {
		if op.Action != backend.Unlink {
			return nil, of(refused(fmt.Sprintf("a store of keys has no action %q", op.Action), ""), op.Entity)
		}
		list = slices.Grow(list, len(op.Keys))
		for _, k := range op.Keys {
			if len(k) != 1 {
				return nil, of(refused("a key of this store has one part", ""), op.Entity)
			}
			t, ok := decode(k[0])
			if !ok {
				return nil, of(refused("a key of the plan is not in this store's notation", "plan anew"), op.Entity)
			}
			list = append(list, item{i, t})
		}
	}
	return list, nil
}

// Execute removes keys and members. It goes on after an error and reports the first.
func (b *Backend) Execute(ctx context.Context, batch backend.Batch) (*backend.Result, error) {
	list, err := items(batch.Operations)
	if err != nil {
		return nil, err
	}
	if err := b.run(ctx, b.checkSingle); err != nil {
		return nil, err
	}
	if err := batch.AwaitEffect(ctx); err != nil {
		return nil, err
	}
	res := &backend.Result{Affected: make([]int64, len(batch.Operations))}
	if err := b.run(ctx, func(ctx context.Context) error { return b.remove(ctx, batch.Operations, list, res.Affected) }); err != nil {
		return nil, err
	}
	return res, nil
}

func (b *Backend) remove(ctx context.Context, ops []backend.Operation, list []item, affected []int64) (first error) {
	for chunk := range slices.Chunk(list, b.config.BatchSize) {
		cmds, err := b.pipeline(ctx, len(chunk), func(p redis.Pipeliner, i int) redis.Cmder { return drop(ctx, p, chunk[i].target) })
		if err != nil {
			first = orElse(first, translate(err, ""))
			// Other nodes of a cluster may still do their part.
			if !b.config.Cluster || ctx.Err() != nil {
				return first
			}
			continue
		}
		for i, cmd := range cmds {
			n, err := count(cmd)
			affected[chunk[i].op] += n
			first = orElse(first, translate(err, ops[chunk[i].op].Entity))
		}
	}
	return first
}

func orElse(first, err error) error {
	if first != nil {
		return first
	}
	return err
}

// drop removes one target. Each command has a single key, as a cluster wants it.
func drop(ctx context.Context, p redis.Pipeliner, t target) redis.Cmder {
	switch t.kind {
	case hashField:
		return p.HDel(ctx, t.key, t.member)
	case setMember:
		return p.SRem(ctx, t.key, t.member)
	case sortedSetMember:
		return p.ZRem(ctx, t.key, t.member)
	default:
		return p.Unlink(ctx, t.key)
	}
}

var errAnswer = errors.New("not the answer to the command")

func count(cmd redis.Cmder) (int64, error) {
	c, ok := cmd.(*redis.IntCmd)
	if !ok {
		return 0, errAnswer
	}
	return c.Result()
}

// Verify counts the keys and members that are still there.
func (b *Backend) Verify(ctx context.Context, ops []backend.Operation) ([]int64, error) {
	list, err := items(ops)
	if err != nil {
		return nil, err
	}
	left := make([]int64, len(ops))
	err = b.run(ctx, func(ctx context.Context) error {
		if err := b.checkSingle(ctx); err != nil {
			return err
		}
		for chunk := range slices.Chunk(list, b.config.BatchSize) {
			cmds, err := b.pipeline(ctx, len(chunk), func(p redis.Pipeliner, i int) redis.Cmder { return ask(ctx, p, chunk[i].target) })
			if err != nil {
				return err
			}
			for i, cmd := range cmds {
				there, err := answer(cmd)
				if err != nil {
					return translate(err, ops[chunk[i].op].Entity)
				}
				if there {
					left[chunk[i].op]++
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return left, nil
}
