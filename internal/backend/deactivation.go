package backend

import "context"

// Deactivator is the capability of taking records out of use and putting them back, for stores that can do so without
// erasing them: an account that nobody can log into any more, a profile that is no longer shown.
type Deactivator interface {
	// SetActive takes the records that the operations name out of use, or with active puts them back. Only the keys of the
	// operations count, not their action. It does as much as it can, goes on after an error and reports the first; doing
	// it again finishes it and is no error. Records that are gone are left out in silence. id names the decision in the
	// store's own records; it is stable over retries and holds no data of anybody.
	SetActive(ctx context.Context, id string, ops []Operation, active bool) error
}
