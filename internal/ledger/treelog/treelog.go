// Package treelog is what ledger stores have in common, whatever database they keep the ledger in: origins and their tips,
// what a transaction adds, one signed checkpoint per commit, proofs and checks. A store puts a Database under it.
package treelog

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"github.com/lethe-dev/lethe/internal/ledger"
)

// indexBits are the lower bits of an entry's id: its index in the origin's tree. The upper ones are the origin's number.
const indexBits = 40

// IndexMask is the greatest index.
const IndexMask = 1<<indexBits - 1

// KeySize is the length of the hash of an idempotency key.
const KeySize = 16

// placeSize is how much of it is a hash of the key's first part, where that does not tell a time.
const placeSize = 4

// KeyHash says first where in the index a key is: with the time of a handle with which it begins, or 32 bits of SHA-256 of the
// origin's number and the key's first part, up to a slash. The rest, 80 or 96 bits, is of SHA-256 of number and whole key: keys are
// short and made by Lethe, and the index stays small.
type KeyHash [KeySize]byte

// Stored is an entry as it is read.
type Stored struct {
	ID   int64
	Leaf []byte
}

// ErrGap means that the bundle is not there which new ones would follow.
var ErrGap = fmt.Errorf("%w: its last entry is gone", ledger.ErrCorrupt)

// Tx is a transaction of the database, which one write or several share.
type Tx interface {
	comparable
	BeforeCommit(func(ctx context.Context) error)
	AfterCommit(func(committed bool))
	OnUndo(func())
}

// Database keeps bundles. What is read is what was committed; within a transaction nobody else writes.
type Database[T Tx] interface {
	// Write runs fn in a transaction, durable when it returns; transactions follow one another. A process that was overtaken
	// is refused.
	Write(ctx context.Context, fn func(ctx context.Context, tx T) error) error
	// WriteAlone is Write, but where nobody else writes at the moment alone may do it in a statement that commits by itself.
	WriteAlone(ctx context.Context, alone func(ctx context.Context) (done bool, err error), fn func(ctx context.Context, tx T) error) error

	// Origin finds the number of an origin; 0 is none.
	Origin(ctx context.Context, name string) (number int64, err error)
	// Origins names those that have entries.
	Origins(ctx context.Context) ([]string, error)
	// Last reads the last bundle that begins in a range of ids, without its leaves and nodes; ID 0 is none.
	Last(ctx context.Context, from, to int64) (Bundle, error)
	// Nodes is what NodeReader needs.
	Nodes(ctx context.Context, nodes []Node) ([]Bundle, error)
	// Page reads the leaves of the bundles that have the entries of a range of ids; to is the one after the last.
	Page(ctx context.Context, from, to int64) ([]Bundle, error)
	// Find looks for a key: the id of its entry, and the leaves of the bundle that should have it; 0 is none.
	Find(ctx context.Context, key KeyHash) (id int64, b Bundle, err error)

	// AddOrigin numbers a new origin.
	AddOrigin(ctx context.Context, tx T, name string) (number int64, err error)
	// Known tells the ids of those keys that the database has.
	Known(ctx context.Context, tx T, keys []KeyHash) (map[KeyHash]int64, error)
	// Insert adds bundles that follow one another. If the one before the first is not there, the transaction does not succeed:
	// ErrGap.
	Insert(ctx context.Context, tx T, bundles []NewBundle) error
	// InsertAlone is Insert of one bundle in a statement that commits by itself. It returns false, and adds nothing, if the bundle
	// before is not there, if one of the keys is, or if this process was overtaken; why is for the caller to find out in a
	// transaction.
	InsertAlone(ctx context.Context, bundle NewBundle) (bool, error)

	// Translate gives the database's errors the names that the package ledger has for them.
	Translate(err error) error
}

// Options of a ledger.
type Options struct {
	// LogName is the name of this installation's log, such as "lethe.dev/<cluster id>".
	LogName string
	// Signer signs checkpoints; make it with ledger.NewSigner. A signer that cannot be named after an origin signs under
	// its own name.
	Signer note.Signer
	// Rotations lead from the keys before to the signer's, in their order. A log whose last checkpoint is signed with one of these
	// goes on with an entry for each rotation since, and is refused if it has that entry already.
	Rotations []ledger.Rotation
}

// Log implements ledger.Log.
type Log[T Tx] struct {
	db      Database[T]
	options Options

	growth *growth[T] // of the transaction that is open; writes follow one another

	mu      sync.RWMutex
	origins map[string]*origin
}

// origin is what is known of one tree. Its tip changes only when a write has ended; readers take it under the lock.
type origin struct {
	number int64
	line   string
	signer note.Signer
	// legacy tells that the first entries have hashes of another kind.
	legacy bool
	tip    *tip   // nil after a write whose outcome is not known
	least  uint64 // the size that the tree is known to have had
}

type tip struct {
	tree       ledger.Tree
	checkpoint ledger.SignedCheckpoint
	// rotations are those that the log has no entries of yet.
	rotations []ledger.Rotation
}

func (o *origin) id(index uint64) int64 { return ID(o.number, index) }

// ID is the id of the entry at an index of an origin's tree.
func ID(origin int64, index uint64) int64 { return origin<<indexBits | int64(index) }

// Range is that of the ids of up to limit entries; end is the one after the last.
func Range(origin int64, from, limit uint64) (begin, end int64) {
	return ID(origin, from), ID(origin, min(from+limit, IndexMask+1))
}

// New makes the ledger of an open database.
func New[T Tx](db Database[T], options Options) (*Log[T], error) {
	if options.LogName == "" || options.Signer == nil {
		return nil, errors.New("open ledger: it needs a name and a signer")
	}
	return &Log[T]{db: db, options: options, origins: map[string]*origin{}}, nil
}

// failed says what failed.
func (l *Log[T]) failed(doing string, err error) error {
	return fmt.Errorf("%s: %w", doing, l.db.Translate(err))
}

// origin finds an origin, or nil if it has no entry yet.
func (l *Log[T]) origin(ctx context.Context, name string) (*origin, error) {
	l.mu.RLock()
	o := l.origins[name]
	l.mu.RUnlock()
	if o != nil {
		return o, nil
	}
	if err := ledger.CheckOrigin(name); err != nil {
		return nil, err
	}
	number, err := l.db.Origin(ctx, name)
	if err != nil {
		return nil, l.failed("look for origin", err)
	}
	if number == 0 {
		return nil, nil
	}
	if o, err = l.newOrigin(name, number); err != nil {
		return nil, err
	}
	if o.legacy, err = l.isLegacy(ctx, o); err != nil {
		return nil, l.failed("look for origin", err)
	}
	return l.remember(name, o), nil
}

// isLegacy tells whether an origin began with hashes of the former kind.
func (l *Log[T]) isLegacy(ctx context.Context, o *origin) (bool, error) {
	page, err := l.db.Page(ctx, o.id(0), o.id(1))
	if err != nil {
		return false, err
	}
	first, err := Leaves(page, o.id(0), o.id(1))
	if err != nil || len(first) == 0 {
		return false, nil //nolint:nilerr // whoever reads it finds that out
	}
	entry, err := ledger.DecodeLeaf(first[0].Leaf)
	if err != nil {
		return false, nil //nolint:nilerr // whoever reads it finds that out
	}
	id, _, err := l.db.Find(ctx, hashKeyBefore(o.number, entry.Key))
	return id != 0, err
}

func (l *Log[T]) newOrigin(name string, number int64) (*origin, error) {
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

// remember keeps an origin that is in the database; of two the first stays.
func (l *Log[T]) remember(name string, o *origin) *origin {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known := l.origins[name]; known != nil {
		return known
	}
	l.origins[name] = o
	return o
}

// currentTip returns an origin's tip and reads it where it is not known. A write that ends meanwhile knows better.
func (l *Log[T]) currentTip(ctx context.Context, o *origin) (*tip, error) {
	l.mu.RLock()
	t, least := o.tip, o.least
	l.mu.RUnlock()
	if t != nil {
		return t, nil
	}
	t, err := l.loadTip(ctx, o)
	if err != nil {
		return nil, l.failed("read the ledger's tip", err)
	}
	if t.tree.Size() < least {
		return nil, ledger.ErrTruncated
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.tip == nil || o.tip.tree.Size() < t.tree.Size() {
		o.know(t)
	}
	return o.tip, nil
}

// know takes a tip that is in the database; call it with the lock.
func (o *origin) know(t *tip) { o.tip, o.least = t, t.tree.Size() }

// committed makes a new tip known.
func (l *Log[T]) committed(o *origin, t *tip) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o.know(t)
}

// forget makes the next one look into the database: whether a write was committed is not known for certain.
func (l *Log[T]) forget(o *origin) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o.tip = nil
}

// loadTip reads the tip and checks that tree, checkpoint and key belong together.
func (l *Log[T]) loadTip(ctx context.Context, o *origin) (*tip, error) {
	last, err := l.db.Last(ctx, o.id(0), o.id(IndexMask))
	if err != nil {
		return nil, err
	}
	if last.ID == 0 {
		return &tip{}, nil
	}
	tree, err := ledger.LoadTree(ctx, uint64(last.ID&IndexMask)+uint64(last.Entries), l.nodeReader(o))
	if err != nil {
		return nil, err
	}
	checkpoint, err := ledger.ReadCheckpoint(last.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("%w: its last entry has no checkpoint", ledger.ErrCorrupt)
	}
	if checkpoint.OriginLine != o.line || checkpoint.Size != tree.Size() || string(checkpoint.Root) != string(tree.Root()) {
		return nil, fmt.Errorf("%w: the last checkpoint does not fit the tree", ledger.ErrCorrupt)
	}
	rotations, err := l.rotationsSince(ctx, o, last.Checkpoint)
	return &tip{tree: tree, checkpoint: checkpoint, rotations: rotations}, err
}

// rotationsSince are the rotations since a log's last checkpoint was signed; none if that was done with the key of today. It
// refuses what was signed with any other key, and with a former one after that was replaced.
func (l *Log[T]) rotationsSince(ctx context.Context, o *origin, checkpoint []byte) ([]ledger.Rotation, error) {
	s, ok := o.signer.(*ledger.Signer)
	if !ok {
		return nil, nil
	}
	verifier, err := s.Verifier()
	if err != nil {
		return nil, err
	}
	if _, err := ledger.OpenCheckpoint(checkpoint, o.line, verifier); err == nil {
		return nil, nil
	}
	for i, r := range l.options.Rotations {
		if _, err := (ledger.VerifierKeys{r.From}).WhichOpens(checkpoint); err != nil {
			continue
		}
		entry, err := l.find(ctx, o, r.EntryKey())
		if err != nil {
			return nil, err
		}
		if entry != nil {
			break
		}
		return l.options.Rotations[i:], nil
	}
	return nil, ledger.ErrWrongKey
}
