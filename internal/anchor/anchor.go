// Package anchor keeps checkpoints of the ledger at places outside the cluster, where whoever governs the cluster cannot take
// them back: an HTTP endpoint that stores what is put there, or a bucket of S3 with retention.
package anchor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
)

const (
	// patience is how long one checkpoint may take.
	patience = 15 * time.Second
	// maxCheckpoint bounds what is read of what a place has.
	maxCheckpoint = 64 << 10
	// suffix of the name of a checkpoint; before it stands the size of the log, in 20 digits so that names sort as sizes do.
	suffix = ".checkpoint"
)

var (
	// ErrOther means that a place has another checkpoint of the same log and size: the log was changed or set back since.
	ErrOther = errors.New("another checkpoint of the same size is kept there: the ledger was changed or set back since")
	// ErrUnread means that a place has a checkpoint of the same log and size, and does not show it.
	ErrUnread = errors.New("a checkpoint of the same size is kept there, and may not be read to compare it")
)

// Place keeps checkpoints. It is safe for concurrent use.
type Place interface {
	// Keep stores a signed checkpoint of the log that is named by an origin line, at the log's size. It never replaces one: if
	// the same is there it is done, if another is, that is ErrOther.
	Keep(ctx context.Context, origin string, size uint64, checkpoint []byte) error
	// Name tells the place from others. It holds no secret.
	Name() string
}

// Options for places.
type Options struct {
	// TokenFile has the bearer token for HTTP endpoints, read each time; empty for none.
	TokenFile string
	// Now is the time by which the retention of objects is counted.
	Now func() time.Time
}

// Open makes the place of a URL: https://host/path, where checkpoints are PUT below the path (http:// to this machine alone), or
// s3://bucket/prefix?endpoint=https://host&region=...&retention=P10Y&path-style=true. All parameters may be left out: the
// endpoint of AWS, the region us-east-1, no retention, and the bucket in the host's name are the defaults. Credentials for S3 are
// found as AWS's own tools do: in the environment, in a file, or by the role of the machine or the service account.
func Open(text string, o Options) (Place, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("it is no URL")
	}
	switch {
	case u.User != nil:
		return nil, errors.New("it holds credentials: for HTTP give a file with a token, for S3 the environment or a file of AWS")
	case u.Fragment != "":
		return nil, errors.New("it has a part after #, which no server would see")
	case u.Scheme == "s3":
		return openS3(u, o)
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return openHTTP(u, o)
	case u.Scheme == "http":
		return nil, errors.New("http:// leads to this machine alone: use https://")
	}
	return nil, errors.New("its scheme must be https or s3")
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// name is the path of a checkpoint below a place's own.
func name(prefix, origin string, size uint64) string {
	return strings.Trim(prefix, "/") + "/" + origin + "/" + fmt.Sprintf("%020d", size) + suffix
}

// compare tells whether what is there is what was to be kept.
func compare(there, checkpoint []byte) error {
	if !bytes.Equal(there, checkpoint) {
		return ErrOther
	}
	return nil
}
