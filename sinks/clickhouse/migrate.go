package clickhouse

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

//go:embed schema/*.sql
var schemaFiles embed.FS

// migration is one numbered file of schema/. Its statements may be run again, so a migration that was cut off is run again whole, and two
// replicas may run it at once.
type migration struct {
	version    uint32
	name       string
	statements []string
}

func migrations() ([]migration, error) {
	entries, err := fs.ReadDir(schemaFiles, "schema") // in the order of their names
	if err != nil {
		return nil, err
	}
	var all []migration
	for i, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		version, err := strconv.ParseUint(number, 10, 32)
		if err != nil || int(version) != i+1 {
			return nil, fmt.Errorf("schema/%s: the number is not %04d", e.Name(), i+1)
		}
		text, err := fs.ReadFile(schemaFiles, "schema/"+e.Name())
		if err != nil {
			return nil, err
		}
		all = append(all, migration{uint32(version), strings.TrimSuffix(e.Name(), ".sql"), statements(string(text))})
	}
	return all, nil
}

// statements splits a file at the semicolons that end a line, and leaves out lines that are comments.
func statements(text string) []string {
	var all []string
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "--") {
			continue
		}
		b.WriteString(line)
		if s := strings.TrimSpace(b.String()); strings.HasSuffix(s, ";") {
			all = append(all, strings.TrimSuffix(s, ";"))
			b.Reset()
		}
	}
	if s := strings.TrimSpace(b.String()); s != "" {
		all = append(all, s)
	}
	return all
}

const migrationsTable = `CREATE TABLE IF NOT EXISTS migrations
(
    version UInt32 COMMENT 'Number of the migration.',
    name String COMMENT 'Its file.',
    applied DateTime64(3, 'UTC') DEFAULT now64(3) COMMENT 'When it was applied.'
)
ENGINE = MergeTree
ORDER BY version
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'Which changes of the schema were applied.'`

// Migrate brings the tables and views up to this binary's schema, and the retention to the configuration's. It may be run again, and by several
// replicas. A schema newer than the binary is an error, and nothing is changed then.
func (s *Store) Migrate(ctx context.Context) error {
	all, err := migrations()
	if err != nil {
		return err
	}
	have, err := s.schemaVersion(ctx)
	if err != nil {
		return fmt.Errorf("migrate the ClickHouse schema: %w", explain(err))
	}
	newest := all[len(all)-1].version
	if have > newest {
		return fmt.Errorf("the ClickHouse schema of database %s is version %d, and this andon knows %d: run the newer andon, or give this one another database",
			s.database, have, newest)
	}
	if have < newest {
		if err := s.owner.Exec(ctx, migrationsTable); err != nil {
			return fmt.Errorf("migrate the ClickHouse schema: %w", explain(err))
		}
	}
	for _, m := range all {
		if m.version <= have {
			continue
		}
		for _, sql := range m.statements {
			if err := s.owner.Exec(ctx, sql); err != nil {
				first, _, _ := strings.Cut(sql, "\n")
				return fmt.Errorf("migrate the ClickHouse schema: %s: %s: %w", m.name, first, explain(err))
			}
		}
		record := ch.Context(ctx, ch.WithParameters(ch.Parameters{"version": strconv.Itoa(int(m.version)), "name": m.name}))
		if err := s.owner.Exec(s.token(record, "migration "+m.name), "INSERT INTO migrations (version, name) SELECT {version:UInt32}, {name:String}"); err != nil {
			return fmt.Errorf("migrate the ClickHouse schema: record %s: %w", m.name, explain(err))
		}
		s.log.Info("ClickHouse schema migrated", "migration", m.name, "database", s.database)
	}
	return errors.Join(s.lazyProjections(ctx), s.fsync(ctx), s.retention(ctx), s.checkWindows(ctx))
}

// schemaVersion returns the newest migration that was applied, or 0.
func (s *Store) schemaVersion(ctx context.Context) (version uint32, err error) {
	err = s.owner.QueryRow(ctx, "SELECT max(version) FROM migrations").Scan(&version)
	if isCode(err, codeUnknownTable) {
		return 0, nil
	}
	return version, err
}

// lazyProjections leaves projections to merges, on servers that can: on insert they double the cost of a small block.
func (s *Store) lazyProjections(ctx context.Context) error {
	const settings = "materialize_projections_on_insert = 0, materialize_projections_on_merge = 1"
	var known, set uint64
	err := s.owner.QueryRow(ctx, `SELECT (SELECT count() FROM system.merge_tree_settings WHERE name LIKE 'materialize\_projections\_on\_%'),
		(SELECT count() FROM system.tables WHERE database = currentDatabase() AND name IN ('readings', 'scores')
			AND position(engine_full, 'materialize_projections_on_merge = 1') > 0)`).Scan(&known, &set)
	if err != nil || known < 2 || set == 2 {
		return err
	}
	for _, table := range []string{"readings", "scores"} {
		if err := s.owner.Exec(ctx, "ALTER TABLE "+table+" MODIFY SETTING "+settings); err != nil {
			return fmt.Errorf("migrate the ClickHouse schema: projections of %s: %w", table, explain(err))
		}
	}
	return nil
}

// fsync sets whether the tables of blocks are brought to the disk with each insert.
func (s *Store) fsync(ctx context.Context) error {
	want := 0
	if s.cfg.Fsync {
		want = 1
	}
	for _, table := range dataTables {
		var engine string
		if err := s.owner.QueryRow(ctx, "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '"+table+"'").Scan(&engine); err != nil {
			return fmt.Errorf("set fsync of %s: %w", table, err)
		}
		if strings.Contains(engine, "fsync_after_insert = 1") == s.cfg.Fsync {
			continue
		}
		sql := fmt.Sprintf("ALTER TABLE %s MODIFY SETTING fsync_after_insert = %d, fsync_part_directory = %d", table, want, want)
		if err := s.owner.Exec(ctx, sql); err != nil {
			return fmt.Errorf("set fsync of %s: %w", table, explain(err))
		}
	}
	return nil
}

// retention sets the tables' TTL where it is not what the configuration says. Rows are judged by when they were stored, so that a replay of old
// records is not deleted as it comes in.
func (s *Store) retention(ctx context.Context) error {
	r := s.cfg.Retention
	for table, keep := range map[string]time.Duration{"readings": r.Readings, "features": r.Features, "scores": r.Scores, "shadow_scores": r.Scores, "drift": r.Scores, "drift_findings": r.Scores, "estimates": r.Scores, "frames": r.Frames, "shadow_frames": r.Frames, "replay_scores": r.ReplayScores, "deadletters": r.DeadLetters, "deadletter_replays": r.DeadLetters, "handled": r.Readings, "metrics": r.Metrics} {
		column := "_stored"
		if table == "metrics" {
			column = "time"
		}
		var engine string
		if err := s.owner.QueryRow(ctx, "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = '"+table+"'").Scan(&engine); err != nil {
			return fmt.Errorf("set the retention of %s: %w", table, err)
		}
		ttl := fmt.Sprintf("toDateTime(%s) + toIntervalSecond(%d)", column, int64(keep.Seconds()))
		var sql string
		switch has := strings.Contains(engine, " TTL "); {
		case keep == 0 && has:
			sql = "ALTER TABLE " + table + " REMOVE TTL"
		case keep != 0 && !strings.Contains(engine, " TTL "+ttl+" "):
			sql = "ALTER TABLE " + table + " MODIFY TTL " + ttl + " SETTINGS materialize_ttl_after_modify = 0" // merges will
		default:
			continue
		}
		if err := s.owner.Exec(ctx, sql); err != nil {
			return fmt.Errorf("set the retention of %s: %w", table, explain(err))
		}
		s.log.Info("ClickHouse retention set", "table", table, "keep", keep)
	}
	return nil
}

// dataTables are those that blocks go into, of the live line and of replays.
var dataTables = []string{"readings", "features", "scores", "shadow_scores", "frames", "shadow_frames", "drift", "labels", "deadletters", "handled", "replay_scores"}

// checkWindows refuses tables that would store an insert twice when it is sent twice. Replicated tables remember inserts unless told not to.
func (s *Store) checkWindows(ctx context.Context) error {
	var errs []error
	err := s.scan(ctx, "SELECT name, engine, engine_full FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'", func(rows driver.Rows) error {
		var name, engine, full string
		if err := rows.Scan(&name, &engine, &full); err != nil || !slices.Contains(dataTables, name) {
			return err
		}
		key, usual := "non_replicated_deduplication_window", 0
		if strings.HasPrefix(engine, "Replicated") || strings.HasPrefix(engine, "Shared") {
			key, usual = "replicated_deduplication_window", 1
			s.replicated.Store(true)
		}
		window := usual
		if _, after, ok := strings.Cut(full, " "+key+" = "); ok {
			digits := strings.IndexFunc(after+" ", func(r rune) bool { return r < '0' || r > '9' })
			window, _ = strconv.Atoi(after[:digits])
		}
		if window == 0 {
			errs = append(errs, fmt.Errorf("table %s.%s does not remember its inserts, so one that is sent again would be stored twice: ALTER TABLE %s.%s MODIFY SETTING %s = 10000",
				s.database, name, s.database, name, key))
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}
