package main

import (
	"context"
	"fmt"
	"testing"

	"github.com/lethe-dev/lethe/test/pgtest"
)

func TestLog(t *testing.T) {
	ctx := context.Background()
	server, err := pgtest.Start(ctx, pgtest.Options{Log: testWriter{t}, Settings: map[string]string{"log_min_duration_statement": "0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	db, _ := server.CreateDatabase(ctx)
	f, err := newByHand(ctx, server, db)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLethe(ctx, server, db)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	if err := seed(ctx, f.conn, 1200); err != nil {
		t.Fatal(err)
	}
	for i := range 60 {
		fmt.Println("SUBJECT", i+1)
		if _, err := l.erase(ctx, i+1); err != nil {
			t.Fatal(err)
		}
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) { fmt.Print(string(p)); return len(p), nil }
