package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"

	"github.com/lethe-dev/lethe/internal/backend"
)

// lock keeps a version from being deleted.
type lock struct {
	until *time.Time // nil: until somebody lifts it
	basis string
}

// Retained asks for the retention and the legal hold of each planned version, if the bucket has object lock at all.
// Delete markers and uploads cannot be locked.
func (b *Backend) Retained(ctx context.Context, ops []backend.Operation) ([]backend.Retention, error) {
	t, err := b.targets(ops)
	if err != nil {
		return nil, err
	}
	var all []entry
	var keys []backend.Key
	var names []string
	for i, list := range t.of {
		all = append(all, list...)
		for _, k := range ops[i].Keys {
			keys, names = append(keys, k), append(names, ops[i].Entity)
		}
	}
	locks, err := b.locks(ctx, all)
	if err != nil {
		return nil, err
	}
	var retained []backend.Retention
	for i, l := range locks {
		if l != nil {
			retained = append(retained, backend.Retention{Entity: names[i], Key: keys[i], Until: l.until, Basis: l.basis})
		}
	}
	return retained, nil
}

// locked tells whether the bucket has object lock.
func (b *Backend) locked(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.config.Timeout, errDeadline)
	defer cancel()
	status, _, _, _, err := b.core.GetObjectLockConfig(ctx, b.config.Bucket)
	if r, ok := response(err); ok && (notImplemented(err) || r.Code == "ObjectLockConfigurationNotFoundError" ||
		r.Code == minio.MethodNotAllowed || r.StatusCode == http.StatusMethodNotAllowed) {
		return false, nil
	}
	if err != nil {
		return false, translate(ctx, err, "s3:GetBucketObjectLockConfiguration")
	}
	return status == "Enabled", nil
}

// locks are the locks of the entries, nil for those that have none.
func (b *Backend) locks(ctx context.Context, list []entry) ([]*lock, error) {
	locks := make([]*lock, len(list))
	if len(list) == 0 {
		return locks, nil
	}
	if has, err := b.locked(ctx); err != nil || !has {
		return locks, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i, e := range list {
		if e.kind == kindVersion {
			group.Go(func() (err error) {
				locks[i], err = b.lockOf(ctx, e)
				return err
			})
		}
	}
	return locks, group.Wait()
}

// lockOf is the lock of a version. A legal hold outlasts every retention.
func (b *Backend) lockOf(ctx context.Context, e entry) (*lock, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*b.config.Timeout, errDeadline)
	defer cancel()
	hold, err := b.core.GetObjectLegalHold(ctx, b.config.Bucket, e.key, minio.GetObjectLegalHoldOptions{VersionID: e.version()})
	if err != nil && !unlocked(err) {
		return nil, translate(ctx, err, "s3:GetObjectLegalHold")
	}
	if err == nil && hold != nil && *hold == minio.LegalHoldEnabled {
		return &lock{basis: "object lock, legal hold"}, nil
	}
	mode, until, err := b.retention(ctx, e)
	if err != nil && !unlocked(err) {
		return nil, translate(ctx, err, "s3:GetObjectRetention")
	}
	if err != nil || until == nil || !until.After(b.clock.Now()) {
		return nil, nil
	}
	utc := until.UTC()
	basis := "object lock"
	if mode.IsValid() {
		basis += ", " + strings.ToLower(mode.String()) + " retention"
	}
	return &lock{until: &utc, basis: basis}, nil
}

// retention is the library's, which insists on the name of the answer's element. Versity's server gives it another one.
func (b *Backend) retention(ctx context.Context, e entry) (mode minio.RetentionMode, until *time.Time, err error) {
	answer := &exchange{keep: true}
	m, until, err := b.core.GetObjectRetention(withExchange(ctx, answer), b.config.Bucket, e.key, e.version())
	var element xml.UnmarshalError
	if errors.As(err, &element) {
		var given struct {
			Mode            minio.RetentionMode
			RetainUntilDate *time.Time
		}
		if err := xml.Unmarshal(answer.body, &given); err != nil || given.RetainUntilDate == nil {
			return "", nil, element
		}
		return given.Mode, given.RetainUntilDate, nil
	}
	if err != nil || m == nil {
		return "", nil, err
	}
	return *m, until, nil
}

// unlocked: the version has no lock, or there is no version that could have one.
func unlocked(err error) bool {
	r, ok := response(err)
	switch r.Code {
	case "NoSuchObjectLockConfiguration", minio.NoSuchKey, minio.NoSuchVersion, minio.MethodNotAllowed, "ObjectLockConfigurationNotFoundError":
		return ok
	}
	return false
}

// saysLocked: servers have several codes for it, and all say it in words.
func saysLocked(r minio.ErrorResponse) bool {
	text := strings.ToLower(r.Code + " " + r.Message)
	return strings.Contains(text, "object lock") || strings.Contains(text, "objectlock") || strings.Contains(text, "worm protected")
}

// deniedVersion explains why a version could not be deleted.
func (b *Backend) deniedVersion(ctx context.Context, e entry, err error) error {
	resp, _ := response(err)
	refuse := func(problem, remedy string) error {
		return &backend.RefusedError{Problem: problem, Remedy: remedy, Err: &serverError{code(resp)}}
	}
	locks, lockErr := b.locks(ctx, []entry{e})
	switch {
	case lockErr == nil && locks[0] != nil && locks[0].until == nil:
		return refuse("an object lock keeps a version: a legal hold, which has no end of its own", "wait until the legal hold of the object is lifted")
	case lockErr == nil && locks[0] != nil:
		return refuse(fmt.Sprintf("an object lock keeps a version until %s", locks[0].until.Format(time.RFC3339)), "wait until then")
	case saysLocked(resp):
		return refuse("an object lock keeps a version", "wait until the retention ends, and lift legal holds of the object")
	}
	return translate(ctx, err, rightsToDelete)
}
