package backendtest

// Attacks are what scanners try on databases of all kinds, on key-value stores, file systems and templates. None is longer
// than 60 characters or has a NUL.
var Attacks = []string{
	// Ends of literals, names and statements.
	"' OR '1'='1", "' OR 1=1 --", "' OR 1=1 -- ", "' OR 1=1#", "' OR 1=1/*", `\' OR 1=1 -- `, `\\' OR 1=1 -- `, `" OR ""="`, "` OR 1=1 -- ", "') OR ('1'='1",
	"')) OR 1=1 -- ", "') OR ('a'='a", "1) OR (1=1", "1 OR 1=1", "admin'/*", "'=0#", "'=''=", "'-''-'", "'^1'", "'|1", "'&1", "' || '1'='1", "' && '1'='1",
	"1; DROP TABLE person", "1; DELETE FROM person", "1'; DROP TABLE person; -- ", `"; DROP TABLE person; --`, `\'; DROP TABLE person; --`, "'; COMMIT; --",
	"]; DROP TABLE person; --", "';\x1a--", "'\n; DROP TABLE person\n--",
	// Queries, calls and comments.
	"' UNION SELECT id FROM person -- ", "' UNION ALL SELECT NULL, NULL, NULL#", "' || (SELECT email FROM person LIMIT 1) || '", "' AND SLEEP(5) -- ",
	"' OR SLEEP(5)#", "1 AND BENCHMARK(10000000, MD5(1))", "' AND UPDATEXML(1, CONCAT(0x7e, USER()), 1) -- ", "' PROCEDURE ANALYSE() -- ",
	"x'; SELECT pg_sleep(5); --", "'; SELECT pg_terminate_backend(pid)--", "' AND 1=randomblob(100000000) --", "'; PRAGMA foreign_keys=OFF; --",
	"'; ATTACH DATABASE '/tmp/x' AS x; --", "'; COPY person TO PROGRAM 'id'; --", "' INTO OUTFILE '/tmp/x' -- ", "LOAD_FILE('/etc/passwd')",
	"load_extension('x')", "/*!50000 OR 1=1 */", "/*M! OR 1=1 */", "1/**/OR/**/1=1", "'; KILL 1; -- ", "'; SET GLOBAL read_only = 1; -- ",
	// Other notations of text, parameters and patterns.
	"$$; DROP TABLE person; $$", `E'\\'; --`, "0x27204f5220313d31", "x'27'", "b'1'", "_utf8'a'", "U&'\\0027'", "%' OR '1'='1", "_", "%", "a%", `a\%`,
	"LIKE '%'", "?", "??", "?1", ":1", "$1", "@@version", "@x:=1", "null", "NULL", "\\N", "true", "NaN", "-0", "1e309", "{fn now()}",
	// JSON, arrays and documents.
	`","b"}'; DROP TABLE person; --`, `"]') OR 1=1 --`, `}'; DROP TABLE person; --`, `"}]', '$[*]' COLUMNS (c1 INT PATH '$')) AS x -- `, `\u0027 OR 1=1`,
	`{"c1":"1"}`, `"],["`, "{1,2}", `{"$ne":null}`, "$.*", "$..a", `$[*]`,
	// Letters that look like quotes.
	"¿' OR 1=1 -- ", "ʼ OR 1=1", "＇ OR 1=1 -- ", "😀' OR 1=1 -- ",
	// Keys, paths and templates.
	"*", "[a-z]*", "\r\nFLUSHALL\r\n", "*3\r\n$3\r\nSET", "{{7*7}}", "${jndi:ldap://x}", "%s%n", "$(reboot)", "`reboot`", "; reboot", "| reboot", "%00", "%2e%2e%2f",
	"<script>alert(1)</script>", "<!DOCTYPE x [<!ENTITY y SYSTEM 'z'>]>",
}
