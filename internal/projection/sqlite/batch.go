package projectionsqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/projection"
)

const (
	insertEntries  = `INSERT INTO entries (id, time, kind, reason, actor, handle, turned) VALUES `
	insertWord     = `INSERT INTO words (origin, dimension, text) VALUES (?, ?, ?) RETURNING id`
	insertCategory = `INSERT OR IGNORE INTO categories (category, id) VALUES (?, ?)`
	// dayColumns are in the order of day.counters.
	dayColumns = `received, completed, cancelled, failed, now_pending, now_completed, now_cancelled, now_failed, took, run_announced, run_completed,
		run_cancelled, run_failed, now_run_pending, now_run_completed, now_run_cancelled, now_run_failed`
	insertDay     = `INSERT OR REPLACE INTO days (origin, day, first, last, ` + dayColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	selectDay     = `SELECT first, last, ` + dayColumns + ` FROM days WHERE origin = ? AND day = ?`
	insertRequest = `INSERT OR REPLACE INTO requests (id, origin, handle, status, source, reason, actor, received, scheduled, due, finished, counts, run)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
	// selectRequest has the columns that scanRequest reads.
	selectRequest = `SELECT r.id, r.status, r.received, r.scheduled, r.due, r.finished, coalesce(r.counts, ''), coalesce(r.run, ''),
		h.text, coalesce(c.text, ''), coalesce(w.text, ''), coalesce(a.text, '')
		FROM requests r JOIN words h ON h.id = r.handle LEFT JOIN words c ON c.id = r.source
		LEFT JOIN words w ON w.id = r.reason LEFT JOIN words a ON a.id = r.actor `

	entryColumns = 7
	entryRows    = 50 // in one statement
)

// day is a row of the table days.
type day struct {
	first, last int64
	requests    tally
	took        int64
	runs        tally
}

// tally counts requests, or runs of rules.
type tally struct {
	happened [numFailed + 1]int64 // by status; Pending stands for received
	now      [numFailed + 1]int64
}

func (t *tally) counters() (list []*int64) {
	for _, of := range []*[numFailed + 1]int64{&t.happened, &t.now} {
		for status := numPending; status <= numFailed; status++ {
			list = append(list, &of[status])
		}
	}
	return list
}

// counters are the columns of dayColumns.
func (d *day) counters() []*int64 {
	return append(append(d.requests.counters(), &d.took), d.runs.counters()...)
}

// of is the tally that counts the request.
func (d *day) of(r *projection.Request) *tally {
	if r.Run != nil {
		return &d.runs
	}
	return &d.requests
}

// batch is what a page of entries changes.
type batch struct {
	tx       *sql.Tx
	origin   int64
	words    map[word]int64
	entries  []any
	requests map[string]*projection.Request // by handle; nil where there is none
	changed  []string
	days     map[int64]*day

	statements *statements
}

// statements are prepared once for the open file.
type statements struct{ findWord, addWord, addEntries, findRequest, putRequest, addCategory *sql.Stmt }

func (db *database) prepare(ctx context.Context) (err error) {
	for stmt, text := range map[**sql.Stmt]string{&db.statements.findWord: selectWord, &db.statements.addWord: insertWord,
		&db.statements.addEntries: insertEntries + entryValues(entryRows), &db.statements.findRequest: selectRequest + `WHERE r.handle = ?`,
		&db.statements.putRequest: insertRequest, &db.statements.addCategory: insertCategory} {
		if *stmt, err = db.writer.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // lives as long as the pool, which closes it
			return err
		}
	}
	return nil
}

func entryValues(rows int) string {
	return strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?, ?), ", rows), ", ")
}

func (db *database) newBatch(tx *sql.Tx, origin int64) *batch {
	return &batch{tx: tx, origin: origin, words: db.words, requests: map[string]*projection.Request{}, days: map[int64]*day{}, statements: &db.statements}
}

func (b *batch) exec(ctx context.Context, stmt *sql.Stmt, args ...any) error {
	_, err := b.tx.StmtContext(ctx, stmt).ExecContext(ctx, args...) //nolint:sqlclosecheck // the transaction closes it
	return err
}

// word is the id of a text; an empty one has none.
func (b *batch) word(ctx context.Context, dimension int64, text string) (n sql.NullInt64, err error) {
	if text == "" {
		return n, nil
	}
	w := word{b.origin, dimension, text}
	if n.Int64, n.Valid = b.words[w]; n.Valid {
		return n, nil
	}
	n.Valid = true
	one := func(stmt *sql.Stmt) error {
		return b.tx.StmtContext(ctx, stmt).QueryRowContext(ctx, b.origin, dimension, text).Scan(&n.Int64) //nolint:sqlclosecheck // the transaction closes it
	}
	if err = one(b.statements.findWord); errors.Is(err, sql.ErrNoRows) {
		if dimension == dimHandle {
			b.requests[text] = nil // who has no word has no request
		}
		err = one(b.statements.addWord)
	}
	if err == nil {
		b.words[w] = n.Int64
	}
	return n, err
}

// add takes in one entry.
func (b *batch) add(ctx context.Context, r ledger.Record) error {
	e := r.Entry
	columns := []any{id(b.origin, r.Index), nanos(e.Time)}
	for _, w := range []struct {
		dimension int64
		text      string
	}{{dimKind, e.Kind}, {dimReason, e.Reason}, {dimActor, e.Actor}, {dimHandle, projection.HandleOf(e)}} {
		n, err := b.word(ctx, w.dimension, w.text)
		if err != nil {
			return err
		}
		columns = append(columns, n)
	}
	d, err := b.day(ctx, dayOf(e.Time))
	if err != nil {
		return err
	}
	if d.last == 0 {
		d.first = id(b.origin, r.Index)
	}
	d.first, d.last = min(d.first, id(b.origin, r.Index)), max(d.last, id(b.origin, r.Index))
	turned, err := b.turn(ctx, d, r)
	if err != nil {
		return err
	}
	b.entries = append(b.entries, append(columns, turned)...)
	if len(b.entries) == entryRows*entryColumns {
		return b.flush(ctx)
	}
	return nil
}

// turn applies an entry to the request of its handle, and to what is counted.
func (b *batch) turn(ctx context.Context, happened *day, r ledger.Record) (turned sql.NullInt64, err error) {
	if !projection.Turns(r.Entry) {
		return turned, nil
	}
	handle := projection.HandleOf(r.Entry)
	request, err := b.request(ctx, handle)
	if err != nil {
		return turned, err
	}
	if request == nil {
		begun, ok := projection.Begin(r)
		if !ok {
			return turned, nil
		}
		b.requests[handle] = &begun
		b.changed = append(b.changed, handle)
		happened.of(&begun).happened[numPending]++
		happened.of(&begun).now[numPending]++
		return turned, nil
	}
	before := *request
	if request.Turn(r.Entry) {
		status := statusNumbers[request.Status]
		happened.of(request).happened[status]++
		turned = sql.NullInt64{Int64: turnedTo(request.Run != nil, status), Valid: true}
	}
	b.changed = append(b.changed, handle)
	received, err := b.day(ctx, dayOf(request.ReceivedAt))
	if err != nil {
		return turned, err
	}
	received.of(request).now[statusNumbers[before.Status]]--
	received.of(request).now[statusNumbers[request.Status]]++
	received.took += took(*request) - took(before)
	return turned, nil
}

// turnedTo is what the column turned has.
func turnedTo(run bool, status int64) int64 {
	if run {
		return status + 10
	}
	return status
}

// took is how many milliseconds a completed request took.
func took(r projection.Request) int64 {
	if r.Status != projection.Completed || r.Run != nil {
		return 0
	}
	return r.FinishedAt.Sub(r.ReceivedAt).Milliseconds()
}

// request finds the request of a handle, nil if there is none.
func (b *batch) request(ctx context.Context, handle string) (*projection.Request, error) {
	if r, ok := b.requests[handle]; ok {
		return r, nil
	}
	n, err := b.word(ctx, dimHandle, handle)
	if err != nil {
		return nil, err
	}
	if r, ok := b.requests[handle]; ok {
		return r, nil
	}
	rows, err := b.tx.StmtContext(ctx, b.statements.findRequest).QueryContext(ctx, n) //nolint:sqlclosecheck // the transaction closes it
	if err != nil {
		return nil, err
	}
	list, err := scanRequests(rows)
	if err != nil {
		return nil, err
	}
	b.requests[handle] = nil
	if len(list) > 0 {
		b.requests[handle] = &list[0]
	}
	return b.requests[handle], nil
}

// day finds a day, or begins it.
func (b *batch) day(ctx context.Context, at int64) (*day, error) {
	if d := b.days[at]; d != nil {
		return d, nil
	}
	d := &day{}
	into := []any{&d.first, &d.last}
	for _, n := range d.counters() {
		into = append(into, n)
	}
	err := b.tx.QueryRowContext(ctx, selectDay, b.origin, at).Scan(into...)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	b.days[at] = d
	return d, nil
}

func (b *batch) flush(ctx context.Context) error {
	var err error
	switch n := len(b.entries) / entryColumns; n {
	case 0:
	case entryRows:
		err = b.exec(ctx, b.statements.addEntries, b.entries...)
	default:
		_, err = b.tx.ExecContext(ctx, insertEntries+entryValues(n), b.entries...)
	}
	b.entries = b.entries[:0]
	return err
}

// write writes what is not written yet.
func (b *batch) write(ctx context.Context) error {
	if err := b.flush(ctx); err != nil {
		return err
	}
	written := map[string]bool{}
	for _, handle := range b.changed {
		if written[handle] {
			continue
		}
		written[handle] = true
		if err := b.put(ctx, b.requests[handle]); err != nil {
			return err
		}
	}
	for at, d := range b.days {
		args := []any{b.origin, at, d.first, d.last}
		for _, n := range d.counters() {
			args = append(args, *n)
		}
		if _, err := b.tx.ExecContext(ctx, insertDay, args...); err != nil {
			return err
		}
	}
	return nil
}

// put writes a request as it is now.
func (b *batch) put(ctx context.Context, r *projection.Request) error {
	var words [4]sql.NullInt64
	for i, w := range []struct {
		dimension int64
		text      string
	}{{dimHandle, r.Handle}, {dimSource, r.Source}, {dimReason, r.Reason}, {dimActor, r.Actor}} {
		var err error
		if words[i], err = b.word(ctx, w.dimension, w.text); err != nil {
			return err
		}
	}
	counts, err := jsonOf(len(r.Counts) > 0, r.Counts)
	if err != nil {
		return err
	}
	run, err := jsonOf(r.Run != nil, r.Run)
	if err != nil {
		return err
	}
	key := id(b.origin, r.Index)
	if err := b.exec(ctx, b.statements.putRequest, key, b.origin, words[0], statusNumbers[r.Status], words[1], words[2], words[3],
		nanos(r.ReceivedAt), nullTime(r.ScheduledAt), nullTime(r.DueAt), nullTime(r.FinishedAt), counts, run); err != nil {
		return err
	}
	for _, c := range r.Counts {
		category, err := b.word(ctx, dimCategory, c.Category)
		if err != nil {
			return err
		}
		if !category.Valid {
			continue
		}
		if err := b.exec(ctx, b.statements.addCategory, category, key); err != nil {
			return err
		}
	}
	return nil
}

func jsonOf(there bool, value any) (s sql.NullString, err error) {
	if !there {
		return s, nil
	}
	text, err := json.Marshal(value)
	return sql.NullString{String: string(text), Valid: true}, err
}

// scanRequests reads what selectRequest selects, and closes it.
func scanRequests(rows *sql.Rows) (list []projection.Request, err error) {
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r projection.Request
		var key, status, received int64
		var scheduled, due, finished sql.NullInt64
		var counts, run string
		if err := rows.Scan(&key, &status, &received, &scheduled, &due, &finished, &counts, &run, &r.Handle, &r.Source, &r.Reason, &r.Actor); err != nil {
			return nil, err
		}
		r.Index, r.Status = uint64(key&indexMask), statusNames[status]
		r.ReceivedAt, r.ScheduledAt, r.DueAt, r.FinishedAt = time.Unix(0, received).UTC(), timeOf(scheduled), timeOf(due), timeOf(finished)
		if counts != "" {
			if err := json.Unmarshal([]byte(counts), &r.Counts); err != nil {
				return nil, fmt.Errorf("%w: the counts of a request", errDamaged)
			}
		}
		if run != "" {
			if err := json.Unmarshal([]byte(run), &r.Run); err != nil {
				return nil, fmt.Errorf("%w: the run of a rule", errDamaged)
			}
		}
		list = append(list, r)
	}
	return list, rows.Err()
}
