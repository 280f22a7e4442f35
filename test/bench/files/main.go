// Command files measures how long it takes to erase the many files of one subject from a folder tree: Lethe's backend (list,
// deletion of exactly what was listed in batches, removals made durable, verification) against os.Remove over a list that is
// known before, in the same process and in turns, so that a busy machine slows both.
//
// It prints one line per figure: BENCH name value. Times are medians in milliseconds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/filesystem"
	"github.com/lethe-dev/lethe/test/bench/internal/turns"
)

// batchSize is how many records the executor gives a backend at one time, by default.
const batchSize = 1000

// folder of the subject, with as many folders in it, and as many other subjects beside it with as many files each.
const (
	folder       = "subjects/4711"
	folders      = 100
	others       = 100
	filesOfOther = 10
)

func main() {
	files := flag.Int("files", 10000, "files that each contender erases in a round")
	rounds := flag.Int("rounds", 5, "rounds")
	profile := flag.String("cpuprofile", "", "write a CPU profile to this file")
	flag.Parse()
	if err := run(context.Background(), *files, *rounds, *profile); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, files, rounds int, profile string) (err error) {
	root, err := os.MkdirTemp("", "lethe-bench-files-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	b, err := filesystem.Open(filesystem.Config{Root: root})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for i := range others {
		if _, err := fill(filepath.Join(root, fmt.Sprintf("subjects/%d", 5000+i)), filesOfOther, 1); err != nil {
			return err
		}
	}
	contender := func(name string, erase func(ctx context.Context, list []string) error) turns.Contender {
		return turns.Contender{Name: name, Work: func(ctx context.Context) (map[string]time.Duration, error) {
			list, err := fill(filepath.Join(root, folder), files, folders)
			if err != nil {
				return nil, err
			}
			if err := flush(root); err != nil {
				return nil, err
			}
			begin := time.Now()
			err = erase(ctx, list)
			took := time.Since(begin)
			return map[string]time.Duration{name: took}, errors.Join(err, onlyOthers(root))
		}}
	}
	stop, err := turns.Profile(profile)
	if err != nil {
		return err
	}
	times, err := turns.Run(ctx, []turns.Contender{
		contender("floor", byHand),
		contender("lethe", func(ctx context.Context, list []string) error { return lethe(ctx, b, len(list)) }),
	}, rounds)
	if err := errors.Join(err, stop()); err != nil {
		return err
	}
	ms := times.Medians()
	fmt.Printf("BENCH files_floor_ms %.3f\nBENCH files_lethe_ms %.3f\nBENCH files_ratio %.2f\n", ms["floor"], ms["lethe"], ms["lethe"]/ms["floor"])
	return nil
}

// fill makes a folder with files in n folders, and returns the paths of all, what is in a folder before it.
func fill(top string, files, n int) ([]string, error) {
	list := make([]string, 0, files+n+1)
	for i := range n {
		if err := os.MkdirAll(filepath.Join(top, fmt.Sprintf("%02d", i)), 0o755); err != nil {
			return nil, err
		}
	}
	for i := range files {
		name := filepath.Join(top, fmt.Sprintf("%02d/%05d.pdf", i%n, i))
		if err := os.WriteFile(name, []byte("x"), 0o600); err != nil {
			return nil, err
		}
		list = append(list, name)
	}
	slices.Sort(list) // folder by folder, as a list from a database would be
	for i := range n {
		list = append(list, filepath.Join(top, fmt.Sprintf("%02d", i)))
	}
	return append(list, top), nil
}

// flush writes out what the file system has yet to write, so that no contender waits for what was done before its turn.
func flush(root string) error {
	f, err := os.Open(root)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

func onlyOthers(root string) error {
	files := 0
	err := filepath.WalkDir(root, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files++
		}
		return err
	})
	if _, gone := os.Lstat(filepath.Join(root, folder)); err == nil && (files != others*filesOfOther || !errors.Is(gone, fs.ErrNotExist)) {
		err = fmt.Errorf("%d files are left, want %d and no folder of the subject", files, others*filesOfOther)
	}
	return err
}

// byHand is the floor.
func byHand(_ context.Context, list []string) error {
	for _, name := range list {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// lethe finds the files and folders, removes them in batches and makes sure that they are gone.
func lethe(ctx context.Context, b backend.Backend, want int) error {
	res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{
		{Entity: "files", Paths: []backend.Path{{Path: folder, Kind: backend.Directory}}}}})
	if err != nil {
		return err
	}
	all := backend.Operation{Entity: "files", Action: backend.Unlink}
	for _, r := range res.Rows["files"] {
		all.Keys = append(all.Keys, r.Key)
	}
	done := int64(0)
	for keys := range slices.Chunk(all.Keys, batchSize) {
		part := all
		part.Keys = keys
		result, err := b.Execute(ctx, backend.Batch{Operations: []backend.Operation{part}})
		if err != nil {
			return err
		}
		done += result.Affected[0]
	}
	left, err := b.Verify(ctx, []backend.Operation{all})
	if err != nil {
		return err
	}
	if left[0] != 0 || done != int64(want) {
		return fmt.Errorf("%d deleted of %d, %d left", done, want, left[0])
	}
	return nil
}
