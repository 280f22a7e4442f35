package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/sql/mysql"
	"github.com/lethe-dev/lethe/test/bench/internal/turns"
	"github.com/lethe-dev/lethe/test/mariadbtest"
)

// mariaSettings are the server's defaults where tests have others, with room for the table.
var mariaSettings = map[string]string{"innodb-flush-log-at-trx-commit": "1", "innodb-buffer-pool-size": "1G", "innodb-log-file-size": "512M"}

// maria is the table of MariaDB with its contenders.
type maria struct {
	rows   int
	server *mariadbtest.Server
	name   string
	db     *sql.DB
	lethe  backend.Sweeper
}

func onMariaDB(ctx context.Context, o options) (err error) {
	m := &maria{rows: o.mariaRows}
	if m.server, err = mariadbtest.Start(ctx, mariadbtest.Options{Sync: true, Settings: mariaSettings}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.server.Stop()) }()
	if m.name, err = m.server.CreateDatabase(ctx); err != nil {
		return err
	}
	if m.db, err = m.server.Connect(m.name, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.db.Close()) }()
	b, err := mysql.Open(ctx, mysql.Config{Host: m.server.Socket, Database: m.name, User: m.server.User, Password: m.server.Password})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	m.lethe = b.(backend.Sweeper)
	if err := m.exec(ctx, fmt.Sprintf("CREATE TABLE template AS SELECT seq AS id, concat('p', seq, '@example.com') AS email, repeat('text ', 10) AS body, "+
		"timestamp('2020-01-01') + INTERVAL seq SECOND AS seen FROM seq_1_to_%d", 2*m.rows)); err != nil {
		return err
	}
	contenders := []turns.Contender{
		m.contender("mariadb_floor", func() error {
			return m.exec(ctx, "DELETE FROM candidate WHERE seen <= '"+m.cutoff().Format(time.DateTime)+"'")
		}),
		m.contender("mariadb_1000", func() error { return m.sweep(ctx, 1000) }),
		m.contender("mariadb_5000", func() error { return m.sweep(ctx, 5000) }),
	}
	if archiver, err := exec.LookPath("pt-archiver"); err == nil {
		contenders = append(contenders, m.contender("archiver_bulk", func() error { return m.archive(ctx, archiver, "--bulk-delete") }),
			m.contender("archiver_commit_each", func() error { return m.archive(ctx, archiver) }))
	} else {
		fmt.Fprintln(os.Stderr, "without pt-archiver, which is in Debian's percona-toolkit")
	}
	times, err := turns.Run(ctx, contenders, o.rounds)
	if err != nil {
		return err
	}
	speed(times, "mariadb_floor", m.rows)
	ratios(times, "mariadb_floor", nil)
	ms := times.Medians()
	for name, target := range map[string]float64{"archiver_bulk": 1.5, "archiver_commit_each": 6} {
		if ms[name] > 0 {
			fmt.Printf("BENCH sweep_mariadb_5000_times_%s %.1f\n", name, ms[name]/ms["mariadb_5000"])
			if ms[name] < target*ms["mariadb_5000"] {
				fmt.Fprintf(os.Stderr, "below the target of %.1f times %s\n", target, name)
			}
		}
	}
	return nil
}

func (m *maria) exec(ctx context.Context, statement string) error {
	_, err := m.db.ExecContext(ctx, statement)
	return err
}

// cutoff makes half of the table due.
func (m *maria) cutoff() time.Time { return time.Date(2020, 1, 1, 0, 0, m.rows, 0, time.UTC) }

// contender has the table as new in its turn.
func (m *maria) contender(name string, work func() error) turns.Contender {
	return turns.Contender{Name: name, Work: func(ctx context.Context) (map[string]time.Duration, error) {
		ready := func() error {
			for _, s := range []string{"DROP TABLE IF EXISTS candidate",
				"CREATE TABLE candidate (id bigint PRIMARY KEY, email varchar(100), body text, seen datetime, KEY (seen))",
				"INSERT INTO candidate SELECT * FROM template", "ANALYZE TABLE candidate"} {
				if err := m.exec(ctx, s); err != nil {
					return err
				}
			}
			return m.lethe.CheckSweep(ctx, m.candidates())
		}
		took, err := timed(ready, work)
		if err != nil {
			return nil, err
		}
		var left int
		if err := m.db.QueryRowContext(ctx, "SELECT count(*) FROM candidate").Scan(&left); err != nil {
			return nil, err
		}
		if left != m.rows {
			return nil, fmt.Errorf("%w: %d rows are left", errLeft, left)
		}
		fmt.Fprintf(os.Stderr, "%s: %d ms\n", name, took.Milliseconds())
		return map[string]time.Duration{name: took}, nil
	}}
}

func (m *maria) candidates() *backend.Sweep {
	return sweepOf("candidate", m.cutoff(), step("candidate", backend.Delete))
}

func (m *maria) sweep(ctx context.Context, limit int) error {
	_, err := sweep(ctx, m.lethe, m.candidates(), limit, 1, nil)
	return err
}

// archive is pt-archiver as its manual has it, without the checks that slow it down.
func (m *maria) archive(ctx context.Context, program string, more ...string) error {
	source := fmt.Sprintf("S=%s,D=%s,t=candidate,u=%s,p=%s", m.server.Socket, m.name, m.server.User, m.server.Password)
	args := append([]string{"--source", source, "--purge", "--where", "seen <= '" + m.cutoff().Format(time.DateTime) + "'", "--limit", "1000", "--commit-each",
		"--no-check-charset", "--primary-key-only"}, more...)
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("pt-archiver: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}
