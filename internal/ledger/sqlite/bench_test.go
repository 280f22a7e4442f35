package ledgersqlite

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/ledger/ledgertest"
)

func openForBench(b *testing.B) opened {
	b.Helper()
	l, err := place{filepath.Join(b.TempDir(), "l.db")}.open(ledgertest.Signer(1))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l
}

// BenchmarkFloor is what an append is measured against: begin, insert the same leaf, commit.
func BenchmarkFloor(b *testing.B) {
	for _, group := range []int{1, 64} {
		b.Run(fmt.Sprint(group), func(b *testing.B) {
			db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "f.db")+"?_txlock=immediate&_pragma=journal_mode(wal)&_pragma=synchronous(full)")
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			db.SetMaxOpenConns(1)
			db.Exec("CREATE TABLE e (id INTEGER PRIMARY KEY, leaf BLOB)")
			insert, err := db.Prepare("INSERT INTO e (leaf) VALUES (?)")
			if err != nil {
				b.Fatal(err)
			}
			leaf, _ := ledger.EncodeLeaf(ledgertest.Entry("00000000"))
			b.ResetTimer()
			for i := 0; i < b.N; i += group {
				tx, err := db.Begin()
				if err != nil {
					b.Fatal(err)
				}
				for range group {
					if _, err := tx.Stmt(insert).Exec(leaf); err != nil { //nolint:sqlclosecheck // the transaction closes it
						b.Fatal(err)
					}
				}
				if err := tx.Commit(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, group := range []int{1, 64} {
		b.Run(fmt.Sprint(group), func(b *testing.B) {
			l := openForBench(b)
			entries := make([]ledger.Entry, group)
			b.ResetTimer()
			for i := 0; i < b.N; i += group {
				for j := range entries {
					entries[j] = ledgertest.Entry(fmt.Sprintf("%08d", i+j))
				}
				if _, err := l.Append(ctx, "hr", entries...); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkProof(b *testing.B) {
	l := openForBench(b)
	const size = 1 << 14
	var entries []ledger.Entry
	for i := range size {
		entries = append(entries, ledgertest.Entry(fmt.Sprintf("%08d", i)))
	}
	r, err := l.Append(ctx, "hr", entries...)
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if _, err := l.InclusionProof(ctx, "hr", uint64(i)%size, r.Checkpoint.Size); err != nil {
			b.Fatal(err)
		}
	}
}
