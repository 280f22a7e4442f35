package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/test/pgtest"
)

// child is a table of the subject's data: fanOut rows for each row that it belongs to. Tables of second rank belong to the
// first row of each person in c1.
type child struct {
	name   string
	second bool
	fanOut int
}

var children = []child{{"c1", false, 8}, {"c2", false, 8}, {"c3", false, 6}, {"c4", false, 6}, {"c5", false, 5},
	{"c6", true, 5}, {"c7", true, 4}, {"c8", true, 4}, {"c9", true, 3}}

func (c child) parent() (table, column string) {
	if c.second {
		return "c1", "c1_id"
	}
	return "person", "person_id"
}

// byHand is the floor: what people write when they erase one person from these tables, by the application's id.
type byHand struct{ conn *pgx.Conn }

func newByHand(ctx context.Context, server *pgtest.Server, database string) (*byHand, error) {
	conn, err := server.Connect(ctx, database)
	return &byHand{conn: conn}, err
}

func (b *byHand) close(ctx context.Context) { _ = b.conn.Close(ctx) }

// seed makes the tables with the data of n people.
func seed(ctx context.Context, conn *pgx.Conn, n int) error {
	statements := []string{
		"CREATE TABLE person (id bigint PRIMARY KEY, email text NOT NULL, name text)",
		"CREATE INDEX ON person (lower(email))",
		fmt.Sprintf("INSERT INTO person SELECT i, 'p' || i || '@example.com', 'name' FROM generate_series(1, %d) i", n),
	}
	for _, c := range children {
		table, column := c.parent()
		ref := fmt.Sprintf("(i - 1) / %d + 1", c.fanOut)
		if c.second {
			ref = fmt.Sprintf("((i - 1) / %d) * %d + 1", c.fanOut, children[0].fanOut)
		}
		statements = append(statements,
			fmt.Sprintf("CREATE TABLE %s (id bigint PRIMARY KEY, %s bigint NOT NULL REFERENCES %s, body text)", c.name, column, table),
			fmt.Sprintf("INSERT INTO %s SELECT i, %s, repeat('text ', 20) FROM generate_series(1, %d) i", c.name, ref, n*c.fanOut),
			fmt.Sprintf("CREATE INDEX ON %s (%s)", c.name, column))
	}
	for _, s := range append(statements, "VACUUM ANALYZE", "CHECKPOINT") {
		if _, err := conn.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func rowsLeft(ctx context.Context, conn *pgx.Conn) (n int64, err error) {
	query := "SELECT (SELECT count(*) FROM person)"
	for _, c := range children {
		query += " + (SELECT count(*) FROM " + c.name + ")"
	}
	err = conn.QueryRow(ctx, query).Scan(&n)
	return n, err
}

// deletes are the statements, children first.
func deletes() []string {
	var list []string
	for i := len(children) - 1; i >= 0; i-- {
		where := "person_id = $1"
		if children[i].second {
			where = "c1_id IN (SELECT id FROM c1 WHERE person_id = $1)"
		}
		list = append(list, fmt.Sprintf("DELETE FROM %s WHERE %s", children[i].name, where))
	}
	return append(list, "DELETE FROM person WHERE id = $1")
}

// batch is all statements in one round trip and one transaction: the fastest way.
func (b *byHand) batch(ctx context.Context, subject int) (map[string]time.Duration, error) {
	begin := time.Now()
	batch := &pgx.Batch{}
	for _, s := range deletes() {
		batch.Queue(s, subject)
	}
	err := b.conn.SendBatch(ctx, batch).Close()
	return took("floor_batch", begin), err
}

// keysFirst reads the keys in one round trip and deletes by them in a second one, as those do who keep a list.
func (b *byHand) keysFirst(ctx context.Context, subject int) (map[string]time.Duration, error) {
	begin := time.Now()
	reads := &pgx.Batch{}
	for _, c := range children {
		where := "person_id = $1"
		if c.second {
			where = "c1_id IN (SELECT id FROM c1 WHERE person_id = $1)"
		}
		reads.Queue(fmt.Sprintf("SELECT id FROM %s WHERE %s", c.name, where), subject)
	}
	keys := make([][]int64, len(children))
	results := b.conn.SendBatch(ctx, reads)
	for i := range children {
		rows, err := results.Query()
		if err != nil {
			return nil, err
		}
		if keys[i], err = pgx.CollectRows(rows, pgx.RowTo[int64]); err != nil {
			return nil, err
		}
	}
	if err := results.Close(); err != nil {
		return nil, err
	}
	batch := &pgx.Batch{}
	for i := len(children) - 1; i >= 0; i-- {
		batch.Queue(fmt.Sprintf("DELETE FROM %s WHERE id = ANY($1)", children[i].name), keys[i])
	}
	batch.Queue("DELETE FROM person WHERE id = $1", subject)
	err := b.conn.SendBatch(ctx, batch).Close()
	return took("floor_keys_first", begin), err
}

// statements is one statement after the other in a transaction: what most people write.
func (b *byHand) statements(ctx context.Context, subject int) (map[string]time.Duration, error) {
	begin := time.Now()
	err := pgx.BeginFunc(ctx, b.conn, func(tx pgx.Tx) error {
		for _, s := range deletes() {
			if _, err := tx.Exec(ctx, s, subject); err != nil {
				return err
			}
		}
		return nil
	})
	return took("floor_statements", begin), err
}

func took(figure string, begin time.Time) map[string]time.Duration {
	return map[string]time.Duration{figure: time.Since(begin)}
}
