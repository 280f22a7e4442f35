package mysql

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/internal/backend"
)

// flavor is all that differs between MariaDB and MySQL.
type flavor struct {
	name string
	// share ends a SELECT that locks what it reads against changes, and needs no right but to read.
	share string
	// compact is a JSON value in a form that is the same for the same value.
	compact string
	// visible is the condition on information_schema.STATISTICS for an index that the optimizer uses.
	visible string
	// timeout is the session's variable that bounds statements.
	timeout func(time.Duration) string
	// bounds is true where that variable bounds statements that write, too; else the connection is ended.
	bounds bool
	// session has further settings.
	session []string
	// roles asks for the active roles that SHOW GRANTS must be told; empty where it knows them.
	roles string
	// oldest version that has all that is used.
	oldest [2]int
}

var (
	mariaDB = &flavor{
		name:    "MariaDB",
		share:   " LOCK IN SHARE MODE",
		compact: "JSON_COMPACT(%s)",
		visible: "IGNORED = 'NO'",
		timeout: func(d time.Duration) string {
			return fmt.Sprintf("max_statement_time = %.3f", max(d.Seconds(), 0.001))
		},
		bounds: true,
		// Long lists of constants serve indexes as they are; flags would change what a pattern means.
		session: []string{"in_predicate_conversion_threshold = 0", "default_regex_flags = ''"},
		oldest:  [2]int{10, 6},
	}
	mySQL = &flavor{
		name:    "MySQL",
		share:   " FOR SHARE",
		compact: "CAST(%s AS CHAR)",
		visible: "IS_VISIBLE = 'YES'",
		timeout: func(d time.Duration) string {
			return fmt.Sprintf("max_execution_time = %d", max(d.Milliseconds(), 1))
		},
		roles:  "SELECT CURRENT_ROLE()",
		oldest: [2]int{8, 0},
	}
)

// flavorOf tells the server by what its VERSION() says, such as 10.11.6-MariaDB-log or 8.0.36.
func flavorOf(version string) (f *flavor, number string, err error) {
	f = mySQL
	if strings.Contains(strings.ToLower(version), "mariadb") {
		f = mariaDB
	}
	number, _, _ = strings.Cut(version, "-")
	parts := strings.SplitN(number+".0", ".", 3)
	major, errMajor := strconv.Atoi(parts[0])
	minor, errMinor := strconv.Atoi(parts[1])
	if errMajor != nil || errMinor != nil || major < f.oldest[0] || major == f.oldest[0] && minor < f.oldest[1] {
		return nil, "", &backend.RefusedError{
			Problem: "the server's version is not supported", Remedy: "use MySQL 8.0 or later, or MariaDB 10.6 or later",
		}
	}
	return f, number, nil
}

// settings of every session, so that none of the server's own changes what a statement means.
func (f *flavor) settings(c Config) []string {
	seconds := strconv.FormatInt(int64((c.LockTimeout+time.Second-1)/time.Second), 10)
	variables := append([]string{
		"character_set_client = utf8mb4", "character_set_connection = utf8mb4", "character_set_results = utf8mb4",
		"collation_connection = utf8mb4_general_ci", "time_zone = '+00:00'",
		"sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
		"innodb_lock_wait_timeout = " + seconds, "lock_wait_timeout = " + seconds, "autocommit = 1", "completion_type = 0",
		"foreign_key_checks = 1", "unique_checks = 1", "sql_safe_updates = 0", "sql_auto_is_null = 0", "sql_big_selects = 1",
		"sql_select_limit = 18446744073709551615", f.timeout(c.StatementTimeout),
	}, f.session...)
	return []string{
		"SET " + strings.Join(variables, ", "),
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE",
	}
}
