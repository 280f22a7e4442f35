// Command objects measures how long it takes to erase many objects from a real S3 server: Lethe's backend (list, deletion
// of exactly what was listed in batches, verification) against a loop that lists and deletes with the client library
// alone, in the same process and in turns, so that a busy machine slows both.
//
// It prints one line per figure: BENCH name value. Times are medians in milliseconds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/internal/backend"
	"github.com/lethe-dev/lethe/internal/backend/s3"
	"github.com/lethe-dev/lethe/test/s3test"
)

// batchSize is how many records the executor gives a backend at one time, by default.
const batchSize = 1000

const folder = "subjects/4711"

func main() {
	objects := flag.Int("objects", 10000, "objects that each contender erases in a round")
	rounds := flag.Int("rounds", 3, "rounds")
	versions := flag.Bool("versions", false, "in buckets that keep versions")
	flag.Parse()
	if err := run(context.Background(), *objects, *rounds, *versions); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

type contender struct {
	name  string
	erase func(ctx context.Context, bucket string, objects int) error
}

func run(ctx context.Context, objects, rounds int, versions bool) (err error) {
	server, err := s3test.Start(ctx, s3test.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	client, err := server.Client(server.Root)
	if err != nil {
		return err
	}
	contenders := []contender{
		{"floor", func(ctx context.Context, bucket string, _ int) error { return byHand(ctx, client, bucket, versions) }},
		{"lethe", func(ctx context.Context, bucket string, n int) error { return lethe(ctx, server, bucket, n) }},
	}
	times := map[string][]time.Duration{}
	for round := range rounds {
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			bucket, err := seed(ctx, server, client, objects, versions)
			if err != nil {
				return err
			}
			begin := time.Now()
			if err := c.erase(ctx, bucket, objects); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			times[c.name] = append(times[c.name], time.Since(begin))
			if err := onlyOthers(ctx, client, bucket); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	ms := func(name string) float64 {
		slices.Sort(times[name])
		return float64(times[name][len(times[name])/2].Microseconds()) / 1000
	}
	fmt.Printf("BENCH objects_floor_ms %.3f\nBENCH objects_lethe_ms %.3f\nBENCH objects_ratio %.2f\n", ms("floor"), ms("lethe"), ms("lethe")/ms("floor"))
	return nil
}

// seed makes a bucket with the subject's objects and some of others around them.
func seed(ctx context.Context, server *s3test.Server, client *minio.Core, objects int, versions bool) (string, error) {
	bucket, err := server.CreateBucket(ctx, false)
	if err == nil && versions {
		err = client.EnableVersioning(ctx, bucket)
	}
	if err != nil {
		return "", err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	put := func(key string) {
		group.Go(func() error {
			_, err := client.Client.PutObject(ctx, bucket, key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
			return err
		})
	}
	for i := range objects {
		put(fmt.Sprintf("%s/%02d/%05d.pdf", folder, i%100, i))
	}
	for i := range 100 {
		put(fmt.Sprintf("subjects/471%d/x.pdf", 10+i))
	}
	return bucket, group.Wait()
}

func onlyOthers(ctx context.Context, client *minio.Core, bucket string) error {
	n := 0
	for o := range client.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Recursive: true, WithVersions: true}) {
		if o.Err != nil {
			return o.Err
		}
		n++
	}
	if n != 100 {
		return fmt.Errorf("%d objects are left, want 100", n)
	}
	return nil
}

// byHand is what people write: list, and delete what the list shows.
func byHand(ctx context.Context, client *minio.Core, bucket string, versions bool) error {
	var failed error
	list := client.ListObjectsIter(ctx, bucket, minio.ListObjectsOptions{Prefix: folder + "/", Recursive: true, WithVersions: versions})
	if versions { // this server does not find the next page of versions once those of the last one are gone
		list = slices.Values(slices.Collect(list))
	}
	results, err := client.RemoveObjectsWithIter(ctx, bucket, func(yield func(minio.ObjectInfo) bool) {
		for o := range list {
			if o.Err != nil {
				failed = o.Err
				return
			}
			if !yield(o) {
				return
			}
		}
	}, minio.RemoveObjectsOptions{})
	if err != nil {
		return err
	}
	for r := range results {
		failed = errors.Join(failed, r.Err)
	}
	return failed
}

func lethe(ctx context.Context, server *s3test.Server, bucket string, objects int) error {
	b, err := s3.Open(ctx, s3.Config{Endpoint: server.URL(), Region: s3test.Region, Bucket: bucket, PathStyle: true,
		AccessKeyID: server.Root.AccessKeyID, SecretAccessKey: server.Root.SecretAccessKey})
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	res, err := b.Resolve(ctx, backend.ResolveRequest{Queries: []backend.Query{
		{Entity: "files", Paths: []backend.Path{{Path: folder, Kind: backend.Directory}}}}})
	if err != nil {
		return err
	}
	all := backend.Operation{Entity: "files", Action: backend.Unlink}
	for _, r := range res.Rows["files"] {
		all.Keys = append(all.Keys, r.Key)
	}
	if len(all.Keys) != objects {
		return fmt.Errorf("%d found", len(all.Keys))
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
	if err != nil || left[0] != 0 || done != int64(objects) {
		return errors.Join(err, fmt.Errorf("%d deleted, %d left", done, left))
	}
	return nil
}
