// Package ledgersqlite keeps the ledger in the SQLite file that it shares with the state store: one process, one writer,
// every append durable when it returns, alone or within a transaction of the file.
package ledgersqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/lethe-dev/lethe/internal/ledger"
	"github.com/lethe-dev/lethe/internal/sqlitedb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations of the ledger's part of the file.
func Migrations() sqlitedb.Migrations {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic("ledger: its migrations are not built in")
	}
	return sqlitedb.Migrations{Part: "ledger", Files: files}
}

const (
	indexBits = 40
	indexMask = 1<<indexBits - 1
)

const (
	selectOrigin  = `SELECT number FROM origins WHERE name = ?`
	selectOrigins = `SELECT name FROM origins WHERE EXISTS (SELECT 1 FROM entries WHERE id = number << 40) ORDER BY name`
	selectTip     = `SELECT id, checkpoint FROM entries WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1`
	selectNode    = `SELECT substr(nodes, ?, 32) FROM entries WHERE id = ?`
	selectPage    = `SELECT id, leaf FROM entries WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?`
	selectKey     = `SELECT id, leaf FROM entries WHERE key_hash = ?`
)

// maxShort is the greatest number of entries that one statement adds.
const maxShort = 4

// insertNext is the one statement of most appends. It adds nothing at all if a key is there, if the epoch is over or if the
// entry before has vanished; the general way then finds out which. Its arguments are those of insertArgs.
func insertNext(n int) string {
	rows, keys := make([]string, n), make([]string, n)
	for i := range n {
		at := 5*i + 2
		rows[i] = fmt.Sprintf("(?%d, ?%d, ?%d, ?%d, ?%d)", at, at+1, at+2, at+3, at+4)
		keys[i] = fmt.Sprintf("?%d", at+1)
	}
	return fmt.Sprintf(`INSERT INTO entries (id, key_hash, leaf, nodes, checkpoint) SELECT * FROM (VALUES %s)
		WHERE (SELECT epoch FROM store_identity) = ?1
		AND (?2 & %d = 0 OR EXISTS (SELECT 1 FROM entries WHERE id = ?2 - 1))
		AND NOT EXISTS (SELECT 1 FROM entries WHERE key_hash IN (%s))`,
		strings.Join(rows, ", "), indexMask, strings.Join(keys, ", "))
}

// insertArgs are the arguments of insertNext; the last row has the checkpoint.
func insertArgs(epoch int64, rows []row, checkpoint []byte) []any {
	args := make([]any, 0, 1+5*len(rows))
	args = append(args, epoch)
	for i, r := range rows {
		var text []byte
		if i == len(rows)-1 {
			text = checkpoint
		}
		args = append(args, r.id, r.keyHash, r.leaf, r.nodes, text)
	}
	return args
}

// Options of a ledger.
type Options struct {
	// LogName is the name of this installation's log, such as "lethe.dev/<cluster id>".
	LogName string
	// Signer signs checkpoints; make it with ledger.NewSigner. A signer that cannot be named after an origin signs under
	// its own name.
	Signer note.Signer
}

// Log implements ledger.Log.
type Log struct {
	db      *sqlitedb.DB
	options Options

	growth *growth // of the transaction that is open; writes follow one another

	mu      sync.RWMutex
	origins map[string]*origin

	insert                   [maxShort]*sql.Stmt // of one entry, of two ...
	keyInTx, node, page, key *sql.Stmt
}

// origin is what is known of one tree. Its tip changes only when a write has ended; readers take it under the lock.
type origin struct {
	number int64
	line   string
	signer note.Signer
	tip    *tip // nil after a write whose outcome is not known
}

type tip struct {
	tree       ledger.Tree
	checkpoint ledger.SignedCheckpoint
}

func (o *origin) id(index uint64) int64 { return o.number<<indexBits | int64(index) }

var _ ledger.Log = (*Log)(nil)

// New makes the ledger of an open file that has been migrated. The file stays the caller's to close.
func New(ctx context.Context, db *sqlitedb.DB, options Options) (*Log, error) {
	if options.LogName == "" || options.Signer == nil {
		return nil, errors.New("open ledger: it needs a name and a signer")
	}
	l := &Log{db: db, options: options, origins: map[string]*origin{}}
	if err := l.prepare(ctx); err != nil {
		return nil, translate("open ledger", err)
	}
	return l, nil
}

func (l *Log) prepare(ctx context.Context) error {
	type prepared struct {
		stmt  **sql.Stmt
		pool  *sql.DB
		query string
	}
	list := []prepared{{&l.keyInTx, l.db.Writer, selectKey},
		{&l.node, l.db.Reader, selectNode}, {&l.page, l.db.Reader, selectPage}, {&l.key, l.db.Reader, selectKey}}
	for i := range l.insert {
		list = append(list, prepared{&l.insert[i], l.db.Writer, insertNext(i + 1)})
	}
	for _, s := range list {
		var err error
		if *s.stmt, err = s.pool.PrepareContext(ctx, s.query); err != nil { //nolint:sqlclosecheck // lives as long as the pool, which closes it
			return err
		}
	}
	return nil
}

// translate gives errors of the store the names that callers know. SQLite's texts hold names of columns, never values.
func translate(doing string, err error) error {
	switch {
	case errors.Is(err, sqlitedb.ErrStaleEpoch):
		return fmt.Errorf("%s: %w", doing, ledger.ErrStaleEpoch)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}

// origin finds an origin, or nil if it has no entry yet.
func (l *Log) origin(ctx context.Context, name string) (*origin, error) {
	l.mu.RLock()
	o := l.origins[name]
	l.mu.RUnlock()
	if o != nil {
		return o, nil
	}
	if err := ledger.CheckOrigin(name); err != nil {
		return nil, err
	}
	var number int64
	err := l.db.Reader.QueryRowContext(ctx, selectOrigin, name).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, translate("look for origin", err)
	}
	if o, err = l.newOrigin(name, number); err != nil {
		return nil, err
	}
	return l.remember(name, o), nil
}

func (l *Log) newOrigin(name string, number int64) (*origin, error) {
	o := &origin{number: number, line: ledger.OriginLine(l.options.LogName, name), signer: l.options.Signer}
	if s, ok := l.options.Signer.(*ledger.Signer); ok {
		named, err := s.Named(o.line)
		if err != nil {
			return nil, err
		}
		o.signer = named
	}
	return o, nil
}

// remember keeps an origin that is in the file; of two the first stays.
func (l *Log) remember(name string, o *origin) *origin {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.origins[name]; known != nil {
		return known
	}
	l.origins[name] = o
	return o
}

// currentTip returns an origin's tip and reads it from the file where it is not known. A write that ends meanwhile knows better.
func (l *Log) currentTip(ctx context.Context, o *origin) (*tip, error) {
	l.mu.RLock()
	t := o.tip
	l.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	t, err := l.loadTip(ctx, o)
	if err != nil {
		return nil, translate("read the ledger's tip", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.tip == nil || o.tip.tree.Size() < t.tree.Size() {
		o.tip = t
	}
	return o.tip, nil
}

func (l *Log) setTip(o *origin, t *tip) {
	l.mu.Lock()
	o.tip = t
	l.mu.Unlock()
}

// loadTip reads the tip and checks that tree, checkpoint and key belong together.
func (l *Log) loadTip(ctx context.Context, o *origin) (*tip, error) {
	var id int64
	var text []byte
	err := l.db.Reader.QueryRowContext(ctx, selectTip, o.id(0), o.id(indexMask)).Scan(&id, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return &tip{}, nil
	}
	if err != nil {
		return nil, err
	}
	tree, err := ledger.LoadTree(ctx, uint64(id&indexMask)+1, l.nodeReader(o))
	if err != nil {
		return nil, err
	}
	checkpoint, err := ledger.ReadCheckpoint(text)
	if err != nil {
		return nil, fmt.Errorf("%w: its last entry has no checkpoint", ledger.ErrCorrupt)
	}
	if checkpoint.OriginLine != o.line || checkpoint.Size != tree.Size() || string(checkpoint.Root) != string(tree.Root()) {
		return nil, fmt.Errorf("%w: the last checkpoint does not fit the tree", ledger.ErrCorrupt)
	}
	if s, ok := o.signer.(*ledger.Signer); ok {
		verifier, err := s.Verifier()
		if err != nil {
			return nil, err
		}
		if _, err := ledger.OpenCheckpoint(text, o.line, verifier); err != nil {
			return nil, ledger.ErrWrongKey
		}
	}
	return &tip{tree: tree, checkpoint: checkpoint}, nil
}
