package clickhouse

import (
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write schema.sql from the migrated database")

// schema.sql is what the migrations make, with every column's comment.
func TestSchemaFile(t *testing.T) {
	e := ownEngine(t)
	cfg := Default()
	cfg.Retention = Retention{}
	s, err := Open(t.Context(), cfg, e.Endpoint, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	var b strings.Builder
	b.WriteString("-- The schema of andon's ClickHouse database, as the migrations in schema/ make it. Written by go test ./sinks/clickhouse -run SchemaFile -update.\n" +
		"-- Retention (clickhouse.retention) adds a TTL on _stored, or on time, to readings, features, scores, frames, drift, drift_findings, estimates, replay_scores, deadletters, deadletter_replays and metrics.\n")
	names := strings.Fields(ask(t, s, "SELECT name FROM system.tables WHERE database = 'andon' ORDER BY engine = 'View', name"))
	for _, name := range names {
		b.WriteString("\n" + ask(t, s, "SHOW CREATE TABLE "+name) + ";\n")
	}
	if *update {
		if err := os.WriteFile("schema.sql", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile("schema.sql")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "schema.sql (run with -update)", string(file), b.String())
	equal(t, "columns without a comment", ask(t, s, `SELECT table, name FROM system.columns WHERE database = 'andon' AND comment = ''
		AND table IN (SELECT name FROM system.tables WHERE database = 'andon' AND engine != 'View')`), "")
	equal(t, "tables and views without a comment", ask(t, s, "SELECT name FROM system.tables WHERE database = 'andon' AND comment = ''"), "")
	all, err := migrations()
	if err != nil {
		t.Fatal(err)
	}
	var applied []string
	for _, m := range all {
		applied = append(applied, fmt.Sprint(m.version, " ", m.name))
	}
	equal(t, "migrations", ask(t, s, "SELECT version, name FROM migrations ORDER BY version"), strings.Join(applied, "\n"))
}

func TestMigrate(t *testing.T) {
	e := ownEngine(t)
	s, l := openStore(t, e)
	ttl := func(table string) string {
		t.Helper()
		return ask(t, s, "SELECT extract(engine_full, 'TTL (.*) SETTINGS') FROM system.tables WHERE database = 'andon' AND name = '"+table+"'")
	}
	equal(t, "readings", ttl("readings"), "toDateTime(_stored) + toIntervalSecond(7776000)")
	equal(t, "metrics", ttl("metrics"), "toDateTime(time) + toIntervalSecond(2592000)")
	equal(t, "labels", ttl("labels"), "")
	before := len(l.String())
	if err := s.Migrate(t.Context()); err != nil || len(l.String()) != before {
		t.Errorf("migrated again: %v\n%s", err, l.String()[before:])
	}
	s.cfg.Retention.Readings, s.cfg.Retention.Metrics = 48*time.Hour, 0
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, "readings, shorter", ttl("readings"), "toDateTime(_stored) + toIntervalSecond(172800)")
	equal(t, "metrics, for ever", ttl("metrics"), "")

	synced := func() string {
		t.Helper()
		return ask(t, s, "SELECT countIf(position(engine_full, 'fsync_after_insert = 1') > 0) FROM system.tables WHERE database = 'andon'")
	}
	equal(t, "fsync", synced(), "0")
	s.cfg.Fsync = true
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, "fsync on", synced(), fmt.Sprint(len(dataTables)))
	if err := s.Write(t.Context(), makeBlock("synced", 0, 0, 10, 2, "a")); err != nil {
		t.Fatal(err)
	}
	s.cfg.Fsync = false
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, "fsync off", synced(), "0")

	// Cut off in the middle, a migration is run again.
	do(t, s, "ALTER TABLE migrations DELETE WHERE version >= 2 SETTINGS mutations_sync = 1", "DROP VIEW lag")
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	equal(t, "view", ask(t, s, "SELECT count() FROM lag"), "1")

	do(t, s, "INSERT INTO migrations (version, name) VALUES (99, 'from the future')")
	if err := s.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "99") || !strings.Contains(err.Error(), "newer") {
		t.Errorf("newer schema: %v", err)
	}
	do(t, s, "ALTER TABLE migrations DELETE WHERE version = 99 SETTINGS mutations_sync = 1")

	do(t, s, "ALTER TABLE scores MODIFY SETTING non_replicated_deduplication_window = 0")
	for _, err := range []error{s.Migrate(t.Context()), func() error {
		again, err := Open(t.Context(), Default(), e.Endpoint, slog.New(slog.DiscardHandler), nil)
		if err == nil {
			_ = again.Close()
		}
		return err
	}()} {
		if err == nil || !strings.Contains(err.Error(), "andon.scores") || !strings.Contains(err.Error(), "MODIFY SETTING non_replicated_deduplication_window") {
			t.Errorf("no window: %v", err)
		}
	}
}

// Rows are deleted by when they were stored, however old their event time is.
func TestRetention(t *testing.T) {
	e := ownEngine(t)
	s, _ := openStore(t, e)
	b := makeBlock("old", 0, 0, 100, 5, "a")
	if err := s.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	do(t, s, "INSERT INTO readings (pipeline, asset, time, _stored) VALUES ('old', 'x', now64(6), now64(3) - INTERVAL 91 DAY)", "OPTIMIZE TABLE readings FINAL")
	equal(t, "readings", ask(t, s, "SELECT count(), countIf(asset = 'x') FROM readings"), "99 0")
	equal(t, "by the projection", ask(t, s, "SELECT sum(rows) FROM rows_per_minute"), "99")
}

func TestStatements(t *testing.T) {
	got := statements("-- a comment;\nSELECT 1;\n\nSELECT ';'\n  -- kept inside? no\n, 2;\nSELECT 'a;b', 3")
	if fmt.Sprintf("%q", got) != `["SELECT 1" "SELECT ';'\n  -- kept inside? no\n, 2" "SELECT 'a;b', 3"]` {
		t.Errorf("%q", got)
	}
}
