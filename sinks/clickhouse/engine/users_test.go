package engine

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
)

func code(err error) int32 {
	var e *clickhouse.Exception
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return -1
	}
	return 0
}

func TestUsers(t *testing.T) {
	e := running(t, testConfig(t), t.TempDir())
	owner, reader := connect(t, e, e.Endpoint().Owner), connect(t, e, e.Endpoint().Reader)
	do(t, owner, "CREATE DATABASE andon", "CREATE TABLE andon.t (a UInt64) ENGINE=MergeTree ORDER BY a", "INSERT INTO andon.t SELECT number FROM numbers(1000)",
		"CREATE VIEW andon.v AS SELECT sum(a) AS s FROM andon.t")

	const denied, readonly, bound = 497, 164, 452
	check := func(c clickhouse.Conn, who, query string, want int32) {
		t.Helper()
		if err := c.Exec(t.Context(), query); code(err) != want {
			t.Errorf("%s: %s: %v, want code %d", who, query, err, want)
		}
	}
	for _, q := range []string{"SELECT * FROM andon.t", "SELECT s FROM andon.v", "SELECT number FROM numbers(3)", "SHOW TABLES FROM andon", "DESCRIBE andon.t",
		"SELECT name FROM system.columns WHERE database = 'andon'", "SELECT 1 SETTINGS max_execution_time = 10, max_threads = 1"} {
		check(reader, "reader", q, 0)
	}
	for _, q := range []string{"INSERT INTO andon.t VALUES (1)", "CREATE TABLE andon.u (a UInt8) ENGINE = Memory", "DROP TABLE andon.t", "ALTER TABLE andon.t DELETE WHERE 1",
		"SELECT * FROM system.processes", "SELECT * FROM system.users", "CREATE TEMPORARY TABLE x (a UInt8)", "KILL QUERY WHERE 1", "SYSTEM STOP LISTEN TCP"} {
		check(reader, "reader", q, denied)
	}
	check(reader, "reader", "SET readonly = 0", readonly)
	for _, s := range []string{"max_memory_usage = 0", "max_execution_time = 0", "max_execution_time = 100000", "max_threads = 64", "max_result_rows = 0"} {
		check(reader, "reader", "SELECT 1 SETTINGS "+s, bound)
	}
	for _, q := range []string{"SELECT * FROM file('/etc/hosts', 'LineAsString')", "INSERT INTO FUNCTION file('/tmp/x.csv') SELECT 1", "SELECT * FROM `/etc/hosts`",
		"SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')", "SELECT * FROM remote('127.0.0.1:1', 'andon', 't')", "CREATE DATABASE other", "SYSTEM SHUTDOWN",
		"SYSTEM STOP LISTEN TCP"} {
		check(owner, "owner", q, denied)
		check(reader, "reader", q, denied)
	}
	// default must have no password; the server's own session is the one that it may have.
	const sessions = 700
	check(connect(t, e, Login{User: "default"}), "default", "SELECT 1", sessions)
	check(connect(t, e, Login{User: "andon", Password: "guess"}), "wrong password", "SELECT 1", 516)
}

// The function file() asks for no grant; the fence stands in its way.
func TestFence(t *testing.T) {
	t.Setenv("ANDON_TEST_SECRET", "in our environment")
	e := running(t, testConfig(t), t.TempDir())
	if log, err := os.ReadFile(e.Log()); err != nil || strings.Contains(string(log), errNoFence.Error()) {
		t.Skip("this kernel has no Landlock")
	}
	c := connect(t, e, e.Endpoint().Reader)
	const cannotOpen = 76
	for _, path := range []string{"/etc/passwd", e.Credentials(), fmt.Sprintf("/proc/%d/environ", os.Getpid()), "/proc/1/environ"} {
		err := c.Exec(t.Context(), fmt.Sprintf("SELECT file('%s')", path))
		if code(err) != cannotOpen {
			t.Errorf("%s: %v", path, err)
		}
	}
	var env string
	if err := c.QueryRow(t.Context(), "SELECT file('/proc/self/environ')").Scan(&env); err != nil || strings.Contains(env, "ANDON_TEST_SECRET") {
		t.Errorf("the server's environment is %q, %v", env, err)
	}
	// Without what it needs it would not merge, mutate, detach.
	o := connect(t, e, e.Endpoint().Owner)
	do(t, o, "CREATE DATABASE andon", "CREATE TABLE andon.t (a UInt64) ENGINE=MergeTree ORDER BY a", "INSERT INTO andon.t SELECT number FROM numbers(100000)",
		"INSERT INTO andon.t SELECT number FROM numbers(100000)", "OPTIMIZE TABLE andon.t FINAL", "ALTER TABLE andon.t DELETE WHERE a % 2 = 0 SETTINGS mutations_sync = 1",
		"ALTER TABLE andon.t DETACH PARTITION tuple()", "ALTER TABLE andon.t ATTACH PARTITION tuple()", "RENAME TABLE andon.t TO andon.u")
	if n := number(t, o, "SELECT count() FROM andon.u"); n != 100000 {
		t.Errorf("%d rows", n)
	}
}
