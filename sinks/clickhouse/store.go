// Package clickhouse stores what the line makes, and answers questions about it, over ClickHouse's native protocol: one code path for the embedded
// server (engine) and for one of the operator's own.
//
// A block goes in with one insert a table, each with a deduplication token made of pipeline, topic, partition, table and range of offsets: sent
// again, also after a crash of either side, it is stored once. schema.sql documents the tables and views column by column.
//
// Metrics: andon_clickhouse_rows_total{table}, andon_clickhouse_refused_rows_total{table}, andon_clickhouse_repeated_inserts_total{table},
// andon_clickhouse_insert_seconds, andon_clickhouse_insert_errors_total.
package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/prometheus/client_golang/prometheus"

	"andon/sinks/clickhouse/engine"
)

// Store is the connection to ClickHouse. Its methods may be called from any goroutine.
type Store struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics

	database string
	bare     driver.Conn // names no database, so it can make ours
	inserts  driver.Conn // few: they hold blocks
	owner    driver.Conn // everything else of ours
	reader   driver.Conn // questions of people
	turns    chan struct{}
	// unified tells that the server knows the setting deduplicate_insert, which overrides insert_deduplicate (ClickHouse 26).
	unified bool
	// replicated tells that a table of blocks is kept by several servers.
	replicated atomic.Bool

	labelsMark labelMark
}

// Open connects to the server of the DSN or, without one, to the embedded one, whose place and users at tells before each new connection.
// It changes nothing on the server: Migrate does.
func Open(ctx context.Context, cfg Config, at func() engine.Endpoint, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	s, err := open(cfg, at, log, reg)
	if err != nil {
		return nil, err
	}
	if err = s.look(ctx); err == nil {
		err = s.checkWindows(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open ClickHouse at %s: %w", where(cfg, at), explain(err)), s.Close())
	}
	return s, nil
}

// open makes the pools; nothing is connected yet.
func open(cfg Config, at func() engine.Endpoint, log *slog.Logger, reg prometheus.Registerer) (*Store, error) {
	owner, reader, err := logins(cfg, at)
	if err != nil {
		return nil, fmt.Errorf("clickhouse.dsn: %w", err)
	}
	s := &Store{cfg: cfg, log: log, metrics: newMetrics(reg), database: owner.Auth.Database, turns: make(chan struct{}, cfg.Writers)}
	pool := func(o ch.Options, most int) driver.Conn {
		o.MaxOpenConns, o.MaxIdleConns = most, min(most, 4)
		c, perr := ch.Open(&o)
		err = errors.Join(err, perr)
		return c
	}
	noDatabase := *owner
	noDatabase.Auth.Database = ""
	s.bare, s.inserts, s.owner, s.reader = pool(noDatabase, 1), pool(*owner, cfg.Writers), pool(*owner, 8), pool(*reader, 8)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("clickhouse.dsn: %w", err), s.Close())
	}
	return s, nil
}

// where names the server for people, without a password.
func where(cfg Config, at func() engine.Endpoint) string {
	if cfg.DSN != "" {
		return cfg.DSN.String()
	}
	return at().Native
}

// look checks that the server answers, and learns what it can do.
func (s *Store) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := s.owner.Ping(ctx); isCode(err, codeUnknownDatabase) {
		if err := s.bare.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quote(s.database)); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	var known uint64
	if err := s.owner.QueryRow(ctx, "SELECT count() FROM system.settings WHERE name = 'deduplicate_insert'").Scan(&known); err != nil {
		return err
	}
	s.unified = known > 0
	return nil
}

func quote(identifier string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(identifier) + "`"
}

// Close ends the connections.
func (s *Store) Close() error {
	var errs []error
	for _, c := range []driver.Conn{s.bare, s.inserts, s.owner, s.reader} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
