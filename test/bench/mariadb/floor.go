package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/test/bench/internal/subject"
	"github.com/lethe-dev/lethe/test/mariadbtest"
)

// byHand is the floor: what people write when they erase one person from these tables, by the application's id.
type byHand struct {
	db *sql.DB
	// prepared are the statements, which stay on the one connection: each costs one round trip.
	prepared []*sql.Stmt
}

func newByHand(server *mariadbtest.Server, database string) (*byHand, error) {
	db, err := server.Connect(database, nil)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return &byHand{db: db}, nil
}

func (b *byHand) close() {
	for _, s := range b.prepared {
		_ = s.Close()
	}
	_ = b.db.Close()
}

func (b *byHand) floor() subject.Floor {
	return subject.Floor{Seed: b.seed, Remain: b.remain, Ways: []subject.Way{{Name: "statements", Erase: b.statements}}}
}

func (b *byHand) seed(ctx context.Context, n int) error {
	statements := []string{
		"CREATE TABLE person (id bigint PRIMARY KEY, email varchar(255) NOT NULL, name text, KEY (email))",
		fmt.Sprintf("INSERT INTO person SELECT seq, concat('p', seq, '@example.com'), 'name' FROM seq_1_to_%d", n),
	}
	tables := "person"
	for _, c := range subject.Children {
		table, column := c.Parent()
		statements = append(statements,
			fmt.Sprintf("CREATE TABLE %s (id bigint PRIMARY KEY, %s bigint NOT NULL, body text, FOREIGN KEY (%[2]s) REFERENCES %[3]s (id))",
				c.Name, column, table),
			fmt.Sprintf("INSERT INTO %s SELECT i, %s, repeat('text ', 20) FROM (SELECT seq AS i FROM seq_1_to_%d) s", c.Name,
				c.Reference("DIV"), n*c.FanOut))
		tables += ", " + c.Name
	}
	for _, s := range append(statements, "ANALYZE TABLE "+tables) {
		if _, err := b.db.ExecContext(ctx, s); err != nil {
			return err
		}
	}
	return b.prepare(ctx)
}

// prepare readies the statements, children first. A join finds the rows of second rank by their index; for IN with a query
// MariaDB would read the whole table.
func (b *byHand) prepare(ctx context.Context) error {
	var list []string
	for _, c := range slices.Backward(subject.Children) {
		if c.Second {
			list = append(list, fmt.Sprintf("DELETE %s FROM %[1]s JOIN c1 ON c1.id = %[1]s.c1_id WHERE c1.person_id = ?", c.Name))
		} else {
			list = append(list, fmt.Sprintf("DELETE FROM %s WHERE person_id = ?", c.Name))
		}
	}
	for _, text := range append(list, "DELETE FROM person WHERE id = ?") {
		s, err := b.db.PrepareContext(ctx, text) //nolint:sqlclosecheck // byHand.close does
		if err != nil {
			return err
		}
		b.prepared = append(b.prepared, s)
	}
	return nil
}

func (b *byHand) remain(ctx context.Context) (n int64, err error) {
	err = b.db.QueryRowContext(ctx, subject.CountRows()).Scan(&n)
	return n, err
}

// statements is one statement after the other in a transaction.
func (b *byHand) statements(ctx context.Context, person int) (map[string]time.Duration, error) {
	begin := time.Now()
	tx, err := b.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	for _, s := range b.prepared {
		if _, err := tx.StmtContext(ctx, s).ExecContext(ctx, person); err != nil { //nolint:sqlclosecheck // the transaction's end does
			return nil, errors.Join(err, tx.Rollback())
		}
	}
	err = tx.Commit()
	return subject.Took("floor_statements", begin), err
}
