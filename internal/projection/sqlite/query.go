package projectionsqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
)

const (
	// probe is how many matches of one filter are counted at most to find the one that leaves the fewest.
	probe = 2000
	// gap is how many entries between two wanted ones are read rather than asked for apart.
	gap = 32
)

// filter is one condition: a column has one of the values.
type filter struct {
	column string
	values []int64
}

// question is what is asked of a table.
type question struct {
	table   string
	filters []filter
	// first and last bound the ids.
	first, last int64
	// column of the time, and its bounds.
	column string
	period projection.Period
	limit  int
}

// where is the condition of a question: driver is the filter whose index is used, with one of its values. The plus sign keeps the
// other columns' indexes from being used: the order of ids is worth more.
func (q *question) where(driver int, value int64) (text string, args []any) {
	var list []string
	add := func(condition string, values ...any) {
		list = append(list, condition)
		args = append(args, values...)
	}
	if driver >= 0 {
		add(q.filters[driver].column+" = ?", value)
	}
	add("id BETWEEN ? AND ?", q.first, q.last)
	for i, f := range q.filters {
		if i != driver {
			values, _ := json.Marshal(f.values) // numbers have a text
			condition := "+" + f.column + " IN (SELECT value FROM json_each(?))"
			if f.column == "category" {
				condition = "EXISTS (SELECT 1 FROM categories c WHERE c.id = t.id AND c.category IN (SELECT value FROM json_each(?)))"
			}
			add(condition, string(values))
		}
	}
	if !q.period.From.IsZero() {
		add("+"+q.column+" >= ?", nanos(q.period.From))
	}
	if !q.period.To.IsZero() {
		add("+"+q.column+" < ?", nanos(q.period.To))
	}
	return strings.Join(list, " AND "), args
}

// from is the table, or the one of categories where these drive.
func (q *question) from(driver int) string {
	if driver >= 0 && q.filters[driver].column == "category" {
		return q.table + " t JOIN categories USING (id)"
	}
	return q.table + " t"
}

// driver is the filter that leaves the fewest rows, -1 without filters.
func (q *question) driver(ctx context.Context, db *sql.DB) (int, error) {
	if len(q.filters) < 2 {
		return len(q.filters) - 1, nil
	}
	best, least := 0, probe+1
	for i, f := range q.filters {
		from, column := q.table, f.column
		if column == "category" {
			from = "categories"
		}
		total := 0
		for _, value := range f.values {
			var n int
			err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM (SELECT 1 FROM `+from+` WHERE `+column+` = ? AND id BETWEEN ? AND ? LIMIT ?)`,
				value, q.first, q.last, probe-total).Scan(&n)
			if err != nil {
				return 0, err
			}
			if total += n; total >= probe {
				break
			}
		}
		if total < least {
			best, least = i, total
		}
	}
	return best, nil
}

// ids are the first that match, in order.
func (q *question) ids(ctx context.Context, db *sql.DB) ([]int64, error) {
	driver, err := q.driver(ctx, db)
	if err != nil {
		return nil, err
	}
	values := []int64{0}
	if driver >= 0 {
		values = q.filters[driver].values
	}
	var all []int64
	for _, value := range values {
		where, args := q.where(driver, value)
		list, err := integers(ctx, db, `SELECT id FROM `+q.from(driver)+` WHERE `+where+` ORDER BY id LIMIT ?`, append(args, q.limit)...)
		if err != nil {
			return nil, err
		}
		all = append(all, list...)
		if len(all) > 10*ledger.MaxPage { // of many values the first ids alone matter
			all = q.cut(all)
		}
	}
	return q.cut(all), nil
}

func (q *question) cut(ids []int64) []int64 {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return ids[:min(len(ids), q.limit)]
}

func integers(ctx context.Context, db *sql.DB, query string, args ...any) (list []int64, err error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var n int64
		if err := rows.Scan(&n); err != nil {
			return nil, err
		}
		list = append(list, n)
	}
	return list, rows.Err()
}

// newQuestion bounds the ids by where the days of the period are.
func newQuestion(ctx context.Context, db *sql.DB, origin int64, p projection.Period, from uint64, limit int) (*question, error) {
	if limit <= 0 || limit > ledger.MaxPage {
		limit = ledger.MaxPage
	}
	q := &question{first: id(origin, from), last: id(origin, indexMask), period: p, limit: limit}
	if from > indexMask {
		q.last = 0
	}
	if p.From.IsZero() && p.To.IsZero() {
		return q, nil
	}
	days, args := `SELECT MIN(first), MAX(last) FROM days WHERE origin = ?`, []any{origin}
	if !p.From.IsZero() {
		days, args = days+` AND day >= ?`, append(args, dayOf(p.From))
	}
	if !p.To.IsZero() {
		days, args = days+` AND day <= ?`, append(args, dayOf(p.To))
	}
	var first, last sql.NullInt64
	if err := db.QueryRowContext(ctx, days, args...).Scan(&first, &last); err != nil {
		return nil, err
	}
	q.first, q.last = max(q.first, first.Int64), min(q.last, last.Int64)
	return q, nil
}

// asked are the words that a filter names, by the column that has them.
type asked struct {
	column    string
	dimension int64
	texts     []string
}

// narrow adds filters. It returns false if nothing can match.
func (q *question) narrow(ctx context.Context, db *sql.DB, origin int64, filters ...asked) (bool, error) {
	for _, f := range filters {
		if len(f.texts) == 0 {
			continue
		}
		ids, err := find(ctx, db, origin, f.dimension, f.texts)
		if err != nil || len(ids) == 0 {
			return false, err
		}
		q.filters = append(q.filters, filter{f.column, ids})
	}
	return true, nil
}

// kinds are the words of all kinds that a filter names.
func kinds(ctx context.Context, db *sql.DB, origin int64, names []string) (texts []string, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	rows, err := db.QueryContext(ctx, `SELECT text FROM words WHERE origin = ? AND dimension = ?`, origin, dimKind)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var kind string
		if err := rows.Scan(&kind); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(names, func(name string) bool { return projection.KindMatches(name, kind) }) {
			texts = append(texts, kind)
		}
	}
	if len(texts) == 0 {
		texts = []string{""} // which no word is
	}
	return texts, rows.Err()
}

// Entries implements projection.Reader.
func (x *Index) Entries(ctx context.Context, origin string, f projection.EntryFilter, from uint64, limit int) (records []ledger.Record, err error) {
	err = x.answer(ctx, origin, func(ctx context.Context, db *sql.DB, number int64) error {
		q, err := newQuestion(ctx, db, number, f.Period, from, limit)
		if err != nil {
			return err
		}
		q.table, q.column = "entries", "time"
		names, err := kinds(ctx, db, number, f.Kinds)
		if err != nil {
			return err
		}
		ok, err := q.narrow(ctx, db, number, asked{"kind", dimKind, names}, asked{"reason", dimReason, f.Reasons},
			asked{"actor", dimActor, f.Actors}, asked{"handle", dimHandle, f.Handles})
		if err != nil || !ok {
			return err
		}
		ids, err := q.ids(ctx, db)
		if err != nil {
			return err
		}
		records, err = x.fetch(ctx, origin, f, ids)
		return err
	})
	return records, err
}

// fetch reads entries from the ledger itself. The index only says which: one that does not match shows that it is damaged.
func (x *Index) fetch(ctx context.Context, origin string, f projection.EntryFilter, ids []int64) ([]ledger.Record, error) {
	records := make([]ledger.Record, 0, len(ids))
	for len(ids) > 0 {
		n := 1
		for n < len(ids) && ids[n]-ids[n-1] <= gap && ids[n]-ids[0] < ledger.MaxPage {
			n++
		}
		page, err := x.source.Entries(ctx, origin, uint64(ids[0]&indexMask), int(ids[n-1]-ids[0])+1)
		if err != nil {
			return nil, sourceError{err}
		}
		for _, at := range ids[:n] {
			i := int(at - ids[0])
			if i >= len(page) || page[i].Index != uint64(at&indexMask) || !f.Matches(page[i].Entry) {
				return nil, fmt.Errorf("%w: entry %d", errDamaged, at&indexMask)
			}
			records = append(records, page[i])
		}
		ids = ids[n:]
	}
	return records, nil
}

// Requests implements projection.Reader.
func (x *Index) Requests(ctx context.Context, origin string, f projection.RequestFilter, from uint64, limit int) (requests []projection.Request, err error) {
	err = x.answer(ctx, origin, func(ctx context.Context, db *sql.DB, number int64) error {
		requests = nil
		q, err := newQuestion(ctx, db, number, f.Period, from, limit)
		if err != nil {
			return err
		}
		q.table, q.column = "requests", "received"
		ok, err := q.narrow(ctx, db, number, asked{"handle", dimHandle, f.Handles},
			asked{"source", dimSource, f.Sources}, asked{"reason", dimReason, f.Reasons}, asked{"actor", dimActor, f.Actors},
			asked{"category", dimCategory, f.Categories})
		if err != nil || !ok {
			return err
		}
		if len(f.Statuses) > 0 {
			var numbers []int64
			for _, status := range f.Statuses {
				if n, ok := statusNumbers[status]; ok {
					numbers = append(numbers, n)
				}
			}
			q.filters = append(q.filters, filter{"status", numbers})
		}
		ids, err := q.ids(ctx, db)
		if err != nil || len(ids) == 0 {
			return err
		}
		list, err := json.Marshal(ids)
		if err != nil {
			return err
		}
		rows, err := db.QueryContext(ctx, selectRequest+`WHERE r.id IN (SELECT value FROM json_each(?)) ORDER BY r.id`, string(list))
		if err != nil {
			return err
		}
		requests, err = scanRequests(rows)
		return err
	})
	return requests, err
}
