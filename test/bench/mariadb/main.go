// Command mariadb measures how long the erasure of one subject takes on a real MariaDB: 10 tables, 50 rows, commits as
// durable as a normal server makes them. Lethe's executor (keys read, sealed plan, ledger, deletion, verification) runs
// against what people write by hand, in the same process and in turns, so that a busy machine slows both.
//
// It prints one line per figure: BENCH name value. Times are medians in milliseconds.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/lethe-dev/lethe/internal/backend/sql/mysql"
	"github.com/lethe-dev/lethe/test/bench/internal/subject"
	"github.com/lethe-dev/lethe/test/mariadbtest"
)

// settings are the server's defaults where tests have others.
var settings = map[string]string{"innodb-flush-log-at-trx-commit": "1", "innodb-buffer-pool-size": "128M", "innodb-log-file-size": "96M"}

func main() {
	if err := run(context.Background(), subject.Flags()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o subject.Options) (err error) {
	server, err := mariadbtest.Start(ctx, mariadbtest.Options{Sync: true, Settings: settings})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	database, err := server.CreateDatabase(ctx)
	if err != nil {
		return err
	}
	hand, err := newByHand(server, database)
	if err != nil {
		return err
	}
	defer hand.close()
	b, err := mysql.Open(ctx, mysql.Config{Host: server.Socket, Database: database, User: server.User, Password: server.Password})
	if err != nil {
		return err
	}
	lethe, err := subject.NewLethe(ctx, b, database)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lethe.Close()) }()
	times, err := subject.Compare(ctx, o, lethe, hand.floor())
	if err != nil {
		return err
	}
	report(times.Medians())
	return nil
}

func report(ms map[string]float64) {
	erasures := []string{"erasure", "erasure_verified"}
	floor := ms["floor_statements"]
	if floor > 0 {
		fmt.Printf("BENCH mariadb_floor_statements_ms %.3f\n", floor)
	}
	for _, name := range erasures {
		fmt.Printf("BENCH mariadb_%s_ms %.3f\n", name, ms[name])
	}
	if floor == 0 { // a profile of Lethe alone
		return
	}
	for _, name := range erasures {
		fmt.Printf("BENCH mariadb_%s_ratio_to_statements %.2f\n", name, ms[name]/floor)
	}
}
