package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/ledgertest"
	"github.com/lethe-dev/lethe/test/bench/internal/turns"
)

// groups are how many entries one append has, with how many appends each contender makes in its turn.
var groups = []struct{ size, appends int }{{1, 1000}, {64, 100}}

// appends lets ledger and floor append in turns.
func appends(ctx context.Context, s store, rounds int) error {
	for _, group := range groups {
		name := fmt.Sprintf("ledger_%s_append%d", s.name(), group.size)
		log, _, closeLog, err := s.open(ctx, fmt.Sprint("append", group.size))
		if err != nil {
			return err
		}
		insert, closeFloor, err := s.floor(ctx)
		if err != nil {
			return errors.Join(err, closeLog())
		}
		n := 0
		leaf, err := ledger.EncodeLeaf(ledgertest.Entry(handle(start, 0) + "/0"))
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "rows of %d bytes\n", len(leaf))
		contenders := []turns.Contender{
			{Name: "floor", Work: func(ctx context.Context) (map[string]time.Duration, error) {
				rows := make([][]byte, group.size)
				for i := range rows {
					rows[i] = leaf
				}
				begin := time.Now()
				for range group.appends {
					if err := insert(ctx, rows); err != nil {
						return nil, err
					}
				}
				return map[string]time.Duration{"floor": time.Since(begin)}, nil
			}},
			{Name: "lethe", Work: func(ctx context.Context) (map[string]time.Duration, error) {
				entries := make([]ledger.Entry, group.size)
				begin := time.Now()
				for range group.appends {
					for i := range entries {
						// As in a life: ten entries of a request, whose keys begin with its handle.
						entries[i] = ledgertest.Entry(fmt.Sprintf("%s/%d", handle(start.Add(time.Duration(n/10)*time.Millisecond), n/10), n%10))
						n++
					}
					if _, err := log.Append(ctx, "hr", entries...); err != nil {
						return nil, err
					}
				}
				return map[string]time.Duration{"lethe": time.Since(begin)}, nil
			}},
		}
		times, err := turns.Run(ctx, contenders, rounds)
		if err = errors.Join(err, closeFloor(), closeLog()); err != nil {
			return err
		}
		ms := times.Medians()
		rate := func(who string) float64 { return float64(group.size*group.appends) / ms[who] * 1000 }
		ratio := rate("lethe") / rate("floor")
		fmt.Printf("BENCH %s_floor_per_s %.0f\nBENCH %s_per_s %.0f\nBENCH %s_ratio %.2f\n", name, rate("floor"), name, rate("lethe"), name, ratio)
		if ratio < target {
			fmt.Fprintf(os.Stderr, "%s_ratio is %.2f, below its target of %.1f\n", name, ratio, target)
		}
	}
	return nil
}

func (s *sqliteStore) floor(ctx context.Context) (func(ctx context.Context, rows [][]byte) error, func() error, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.folder, "floor.db")+"?_txlock=immediate&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=cache_size(-8000)")
	if err != nil {
		return nil, nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err = db.ExecContext(ctx, "DROP TABLE IF EXISTS rows; CREATE TABLE rows (id INTEGER PRIMARY KEY, leaf BLOB NOT NULL)"); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	statements := map[int]*sql.Stmt{}
	return func(ctx context.Context, rows [][]byte) error {
		insert := statements[len(rows)]
		if insert == nil {
			var err error
			if insert, err = db.PrepareContext(ctx, "INSERT INTO rows (leaf) VALUES (?)"+strings.Repeat(", (?)", len(rows)-1)); err != nil {
				return err
			}
			statements[len(rows)] = insert
		}
		args := make([]any, len(rows))
		for i, row := range rows {
			args[i] = row
		}
		_, err := insert.ExecContext(ctx, args...)
		return err
	}, db.Close, nil
}

func (s *postgresStore) floor(ctx context.Context) (func(ctx context.Context, rows [][]byte) error, func() error, error) {
	conn, err := s.server.Connect(ctx, "postgres")
	if err != nil {
		return nil, nil, err
	}
	if _, err = conn.Exec(ctx, "DROP TABLE IF EXISTS public.rows; CREATE TABLE public.rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, leaf bytea NOT NULL)"); err != nil {
		return nil, nil, errors.Join(err, conn.Close(ctx))
	}
	return func(ctx context.Context, rows [][]byte) error { return insertPlain(ctx, conn, rows) }, func() error { return conn.Close(ctx) }, nil
}

func insertPlain(ctx context.Context, conn *pgx.Conn, rows [][]byte) error {
	if len(rows) == 1 {
		_, err := conn.Exec(ctx, "INSERT INTO public.rows (leaf) VALUES ($1)", rows[0])
		return err
	}
	_, err := conn.Exec(ctx, "INSERT INTO public.rows (leaf) SELECT * FROM unnest($1::bytea[])", rows)
	return err
}
