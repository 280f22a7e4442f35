package pgdb

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

// told are the classes of errors whose text tells of the server, not of values: connection, authorisation, transaction state,
// names and rights, resources, operator intervention, system.
var told = map[string]bool{"08": true, "25": true, "28": true, "3D": true, "3F": true, "42": true, "53": true, "55": true, "57": true, "58": true, "XX": true}

// clean leaves out of an error what might hold values.
func clean(err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || told[refused.Code[:2]] {
		return err
	}
	return fmt.Errorf("PostgreSQL refused a statement (SQLSTATE %s)", refused.Code)
}

// unavailable tells a database that may be back soon from one that was never right.
func unavailable(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code[:2] {
		case "08", "53", "57":
		default:
			return err
		}
	}
	return errors.Join(ErrUnavailable, err)
}

// Full tells whether the server has no room.
func Full(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == "53100" // disk_full
}
