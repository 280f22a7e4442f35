package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	_ "modernc.org/sqlite" // the driver

	"github.com/lethe-dev/lethe/test/bench/internal/subject"
	"github.com/lethe-dev/lethe/test/pgtest"
)

// byHand is the floor: what people write when they erase one person from these tables, by the application's id.
type byHand struct {
	conn *pgx.Conn
	// journal is for recorded: a SQLite file, as durable as Lethe's.
	journal *sql.DB
	folder  string
}

func newByHand(ctx context.Context, server *pgtest.Server, database string) (_ *byHand, err error) {
	b := &byHand{}
	if b.conn, err = server.Connect(ctx, database); err != nil {
		return nil, err
	}
	if b.folder, err = os.MkdirTemp("", "by-hand-"); err != nil {
		return nil, err
	}
	b.journal, err = sql.Open("sqlite", "file:"+filepath.Join(b.folder, "journal.db")+"?_pragma=journal_mode(wal)&_pragma=synchronous(full)")
	if err == nil {
		_, err = b.journal.ExecContext(ctx, "CREATE TABLE journal (id INTEGER PRIMARY KEY, entry BLOB)")
	}
	return b, err
}

func (b *byHand) close(ctx context.Context) error {
	return errors.Join(b.conn.Close(ctx), b.journal.Close(), os.RemoveAll(b.folder))
}

// floor is all ways by hand, the fastest first.
func (b *byHand) floor() subject.Floor {
	return subject.Floor{Seed: b.seed, Remain: b.remain,
		Ways: []subject.Way{{Name: "batch", Erase: b.batch}, {Name: "keys_first", Erase: b.keysFirst},
			{Name: "statements", Erase: b.statements}, {Name: "recorded", Erase: b.recorded}}}
}

func (b *byHand) seed(ctx context.Context, n int) error {
	statements := []string{
		"CREATE TABLE person (id bigint PRIMARY KEY, email text NOT NULL, name text)",
		"CREATE INDEX ON person (lower(email))",
		fmt.Sprintf("INSERT INTO person SELECT i, 'p' || i || '@example.com', 'name' FROM generate_series(1, %d) i", n),
	}
	for _, c := range subject.Children {
		table, column := c.Parent()
		statements = append(statements,
			fmt.Sprintf("CREATE TABLE %s (id bigint PRIMARY KEY, %s bigint NOT NULL REFERENCES %s, body text)", c.Name, column, table),
			fmt.Sprintf("INSERT INTO %s SELECT i, %s, repeat('text ', 20) FROM generate_series(1, %d) i", c.Name, c.Reference("/"), n*c.FanOut),
			fmt.Sprintf("CREATE INDEX ON %s (%s)", c.Name, column))
	}
	for _, s := range append(statements, "VACUUM ANALYZE", "CHECKPOINT") {
		if _, err := b.conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (b *byHand) remain(ctx context.Context) (n int64, err error) {
	err = b.conn.QueryRow(ctx, subject.CountRows()).Scan(&n)
	return n, err
}

func ofPerson(c subject.Child) string {
	if c.Second {
		return "c1_id IN (SELECT id FROM c1 WHERE person_id = $1)"
	}
	return "person_id = $1"
}

// deletes are the statements, children first.
func deletes() []string {
	var list []string
	for _, c := range slices.Backward(subject.Children) {
		list = append(list, fmt.Sprintf("DELETE FROM %s WHERE %s", c.Name, ofPerson(c)))
	}
	return append(list, "DELETE FROM person WHERE id = $1")
}

// batch is all statements in one round trip and one transaction: the fastest way.
func (b *byHand) batch(ctx context.Context, person int) (map[string]time.Duration, error) {
	begin := time.Now()
	batch := &pgx.Batch{}
	for _, s := range deletes() {
		batch.Queue(s, person)
	}
	err := b.conn.SendBatch(ctx, batch).Close()
	return subject.Took("floor_batch", begin), err
}

// keysFirst reads the keys in one round trip and deletes by them in a second one, as those do who keep a list.
func (b *byHand) keysFirst(ctx context.Context, person int) (map[string]time.Duration, error) {
	begin := time.Now()
	keys, err := b.keys(ctx, person)
	if err != nil {
		return nil, err
	}
	err = b.conn.SendBatch(ctx, byKeys(person, keys)).Close()
	return subject.Took("floor_keys_first", begin), err
}

func (b *byHand) keys(ctx context.Context, person int) ([][]int64, error) {
	reads := &pgx.Batch{}
	for _, c := range subject.Children {
		reads.Queue(fmt.Sprintf("SELECT id FROM %s WHERE %s", c.Name, ofPerson(c)), person)
	}
	keys := make([][]int64, len(subject.Children))
	results := b.conn.SendBatch(ctx, reads)
	for i := range subject.Children {
		rows, err := results.Query()
		if err != nil {
			return nil, err
		}
		if keys[i], err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return nil, err
		}
	}
	return keys, results.Close()
}

// byKeys are the deletions, children first.
func byKeys(person int, keys [][]int64) *pgx.Batch {
	batch := &pgx.Batch{}
	for i, c := range slices.Backward(subject.Children) {
		batch.Queue(fmt.Sprintf("DELETE FROM %s WHERE id = ANY($1)", c.Name), keys[i])
	}
	batch.Queue("DELETE FROM person WHERE id = $1", person)
	return batch
}

// recorded does what an erasure with Lethe's promises cannot do without, and nothing else: read the keys, make them durable
// in a journal before anything goes, delete by them, look once more, make the outcome durable.
func (b *byHand) recorded(ctx context.Context, person int) (map[string]time.Duration, error) {
	begin := time.Now()
	keys, err := b.keys(ctx, person)
	if err != nil {
		return nil, err
	}
	intent, err := json.Marshal(keys)
	if err != nil {
		return nil, err
	}
	if _, err := b.journal.ExecContext(ctx, "INSERT INTO journal (entry) VALUES (?)", intent); err != nil {
		return nil, err
	}
	if err := b.conn.SendBatch(ctx, byKeys(person, keys)).Close(); err != nil {
		return nil, err
	}
	deleted := time.Now()
	if keys, err = b.keys(ctx, person); err != nil {
		return nil, err
	}
	looked := time.Since(deleted)
	_, err = b.journal.ExecContext(ctx, "INSERT INTO journal (entry) VALUES (?)", fmt.Sprintf("%d left", len(slices.Concat(keys...))))
	took := time.Since(begin)
	return map[string]time.Duration{"floor_recorded": took - looked, "floor_recorded_verified": took}, err
}

// statements is one statement after the other in a transaction: what most people write.
func (b *byHand) statements(ctx context.Context, person int) (map[string]time.Duration, error) {
	begin := time.Now()
	err := pgx.BeginFunc(ctx, b.conn, func(tx pgx.Tx) error {
		for _, s := range deletes() {
			if _, err := tx.Exec(ctx, s, person); err != nil {
				return err
			}
		}
		return nil
	})
	return subject.Took("floor_statements", begin), err
}
