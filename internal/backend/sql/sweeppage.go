package sql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/lethe-dev/lethe/internal/backend"
)

// NewSweepResult is what a page has done before it begins.
func NewSweepResult(s *backend.Sweep) *backend.SweepResult {
	return &backend.SweepResult{Affected: make([]int64, len(s.Steps)), Collected: make([][][]backend.Value, len(s.Steps))}
}

// CheckSweepBatch refuses a batch that no page can be made of.
func CheckSweepBatch(s *backend.Sweep, b *backend.SweepBatch) error {
	if b.Limit < 1 {
		return &backend.RefusedError{Problem: "a page of a sweep has at least one record", Remedy: "correct limits.batchSize"}
	}
	return CheckSweepShape(s)
}

// KeyText tells keys apart.
func KeyText(k backend.Key) string {
	if len(k) == 1 {
		return k[0]
	}
	var b strings.Builder
	for _, v := range k {
		b.WriteString(strconv.Itoa(len(v)))
		b.WriteByte(':')
		b.WriteString(v)
	}
	return b.String()
}

// Chosen are the keys, of those locked, of the records to treat: those that are still due and that nobody holds. still has the
// texts of all keys that are due in the page; nil where all that is locked is still due, and then due counts what is.
func Chosen(ctx context.Context, b *backend.SweepBatch, res *backend.SweepResult, locked []backend.Key, subjects []backend.Value,
	still map[string]bool, due int64) ([]backend.Key, error) {
	keys, names := locked, subjects
	if still != nil {
		keys, names, due = nil, nil, int64(len(still))
		for i, k := range locked {
			if !still[KeyText(k)] {
				continue
			}
			keys = append(keys, k)
			if b.Held != nil {
				names = append(names, subjects[i])
			}
		}
	}
	res.Locked = max(due-int64(len(keys)), 0)
	if b.Held == nil || len(keys) == 0 {
		return keys, nil
	}
	held, err := b.Held(ctx, names)
	if err == nil && len(held) != len(keys) {
		err = errors.New("not as many answers as persons")
	}
	if err != nil {
		return nil, notPermitted("nobody could tell who is held", err)
	}
	free := make([]backend.Key, 0, len(keys))
	for i, k := range keys {
		if held[i] {
			res.Held++
		} else {
			free = append(free, k)
		}
	}
	return free, nil
}

// BeforeSweep asks whether the effects of a page may last.
func BeforeSweep(ctx context.Context, b *backend.SweepBatch, res *backend.SweepResult) error {
	if b.BeforeEffect == nil {
		return nil
	}
	if err := b.BeforeEffect(ctx, res); err != nil {
		return notPermitted("the effects were not permitted", err)
	}
	return nil
}

// notPermitted is an error after which nothing is done again by itself.
func notPermitted(problem string, err error) error {
	var u *backend.UnavailableError
	var r *backend.RefusedError
	var s *backend.StaleError
	if errors.As(err, &u) || errors.As(err, &r) || errors.As(err, &s) {
		return err
	}
	return &backend.UnavailableError{Problem: problem, Err: err}
}

// SweepDone takes down what was treated, unless the database left some of it.
func SweepDone(s *backend.Sweep, res *backend.SweepResult, keys []backend.Key) error {
	last := len(s.Steps) - 1
	if last < 0 {
		res.Keys = keys
		return nil
	}
	if n := int64(len(keys)) - res.Affected[last]; s.Steps[last].Action == backend.Delete && n > 0 {
		return &backend.StaleError{Entity: s.Steps[last].Entity, Problem: fmt.Sprintf("%d records that are due are still there after the deletion: a trigger interferes", n)}
	}
	res.Keys = keys
	return nil
}

// Explanations has one for each key, in their order.
func Explanations(s *backend.Sweep, keys []backend.Key, found []backend.SweepExplanation) []backend.SweepExplanation {
	byKey := map[string]backend.SweepExplanation{}
	for _, e := range found {
		byKey[KeyText(e.Key)] = e
	}
	list := make([]backend.SweepExplanation, len(keys))
	for i, k := range keys {
		e, ok := byKey[KeyText(k)]
		if !ok {
			e = backend.SweepExplanation{Key: k, Keep: make([]bool, len(s.Keep)), Clocks: make([]backend.Clock, len(s.Keep))}
		}
		list[i] = e
	}
	return list
}

// SweepCheck makes the statements that look for what a sweep treats, to be planned and not to be run, and refuses what cannot be
// done.
func (c *Compiler) SweepCheck(s *backend.Sweep) ([]Statement, error) {
	due, err := c.SweepDue(s, SweepRange{Limit: 1, Subject: true})
	if err != nil {
		return nil, err
	}
	statements, err := c.SweepCount(s)
	if err != nil {
		return nil, err
	}
	for i := range s.Steps {
		step := &s.Steps[i]
		if _, _, err := c.columns(self, step.Table, slices.Concat(step.KeyColumns, step.Collect)); err != nil {
			return nil, withEntity(err, step.Entity)
		}
	}
	return append(statements, due), nil
}
