package projectionsqlite

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"

	"github.com/lethe-dev/lethe/internal/projection"
)

// Dimensions of words.
const (
	dimKind = iota + 1
	dimReason
	dimActor
	dimHandle
	dimSource
	dimCategory
)

// Statuses as numbers.
const (
	numPending = iota + 1
	numCompleted
	numCancelled
	numFailed
)

var statusNumbers = map[string]int64{projection.Pending: numPending, projection.Completed: numCompleted,
	projection.Cancelled: numCancelled, projection.Failed: numFailed}

var statusNames = map[int64]string{numPending: projection.Pending, numCompleted: projection.Completed,
	numCancelled: projection.Cancelled, numFailed: projection.Failed}

// word is a text in its dimension.
type word struct {
	origin, dimension int64
	text              string
}

// maxWords bounds how many are kept in memory.
const maxWords = 50_000

const selectWord = `SELECT id FROM words WHERE origin = ? AND dimension = ? AND text = ?`

const (
	indexBits    = 40
	indexMask    = 1<<indexBits - 1
	secondsOfDay = 24 * 60 * 60
)

func id(origin int64, index uint64) int64 { return origin<<indexBits | int64(min(index, indexMask)) }

// nanos is a time as the file has it. What is further away than it can hold is put to its end.
func nanos(t time.Time) int64 {
	switch {
	case t.Unix() >= math.MaxInt64/int64(time.Second):
		return math.MaxInt64
	case t.Unix() <= math.MinInt64/int64(time.Second):
		return math.MinInt64
	}
	return t.UnixNano()
}

func timeOf(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return time.Unix(0, n.Int64).UTC()
}

func nullTime(t time.Time) sql.NullInt64 {
	if t.IsZero() {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: nanos(t), Valid: true}
}

// dayOf is the day that a time is on, in UTC, as far as the file can hold it.
func dayOf(t time.Time) int64 {
	n := nanos(t)
	day := n / int64(24*time.Hour)
	if n < 0 && n%int64(24*time.Hour) != 0 {
		day--
	}
	return day
}

func startOf(day int64) time.Time { return time.Unix(day*secondsOfDay, 0).UTC() }

// find looks for the ids of texts; those that nobody has used are left out.
func find(ctx context.Context, db *sql.DB, origin, dimension int64, texts []string) ([]int64, error) {
	ids := make([]int64, 0, len(texts))
	for _, text := range texts {
		var id int64
		err := db.QueryRowContext(ctx, selectWord, origin, dimension, text).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}
