package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"andon/event"
	"andon/sinks/clickhouse/engine"
)

// Finding is one thing that was looked at. Err is nil where it is well; otherwise it says what to do.
type Finding struct {
	What   string
	Detail string
	Err    error
}

// Check looks at the store from outside, as a doctor does: whether the server can be reached, what it is, and whether the tables are fit. at is as in
// Open. It changes nothing but makes the database if it is missing.
func Check(ctx context.Context, cfg Config, at func() engine.Endpoint) []Finding {
	var all []Finding
	add := func(what, detail string, err error) bool {
		all = append(all, Finding{what, detail, err})
		return err == nil
	}
	s, err := open(cfg, at, slog.New(slog.DiscardHandler), nil)
	if err == nil {
		err = s.look(ctx)
		defer s.Close()
	}
	if !add("connection", where(cfg, at), explain(err)) {
		return all
	}

	var version, zone string
	var clock time.Time
	before := time.Now()
	err = s.owner.QueryRow(ctx, "SELECT version(), serverTimezone(), now64(3, 'UTC')").Scan(&version, &zone, &clock)
	add("server", "ClickHouse "+version, explain(err))
	if err == nil {
		after := time.Now()
		off := clock.Sub(before.Add(after.Sub(before) / 2)).Round(time.Millisecond)
		err = nil
		if off.Abs() > 5*time.Second {
			err = errors.New("the clocks of this machine and the ClickHouse server differ: set them by NTP, or lag is not what it seems")
		}
		add("clock", fmt.Sprintf("%v off", off), err)
	}

	have, err := s.schemaVersion(ctx)
	known, merr := migrations()
	if err = errors.Join(explain(err), merr); err == nil {
		switch newest := known[len(known)-1].version; {
		case have > newest:
			err = fmt.Errorf("the schema is newer than this andon, which knows %d: run the newer andon", newest)
		case have == 0:
			err = errors.New("there are no tables yet: andon up makes them")
		case have < newest:
			err = fmt.Errorf("andon up will bring it to version %d", newest)
		}
	}
	if !add("schema", fmt.Sprintf("database %s, version %d", s.database, have), err) {
		return all
	}
	add("deduplication", "tables remember their inserts", s.checkWindows(ctx))

	var one uint8
	err = s.reader.QueryRow(ctx, "SELECT 1 FROM readings LIMIT 1 UNION ALL SELECT 1 LIMIT 1").Scan(&one)
	add("reader", "may read the tables", s.explainQuery(ctx, err))

	var parts, rows, bytes uint64
	err = s.owner.QueryRow(ctx, `SELECT count(), sum(rows), sum(bytes_on_disk) FROM system.parts WHERE active AND database = currentDatabase()`).Scan(&parts, &rows, &bytes)
	add("tables", fmt.Sprintf("%d rows in %d parts, %s", rows, parts, sized(bytes)), explain(err))

	var free, total uint64
	if err = s.owner.QueryRow(ctx, "SELECT min(unreserved_space), min(total_space) FROM system.disks").Scan(&free, &total); err == nil && free < total/10 && free < 10<<30 {
		err = fmt.Errorf("less than a tenth of the disk is free: shorten clickhouse.retention, or give it a larger disk")
	}
	add("disk", fmt.Sprintf("%s free of %s", sized(free), sized(total)), explain(err))
	return all
}

// sized writes a number of bytes for people.
func sized(n uint64) string {
	switch {
	case n < 1<<20:
		return event.Bytes(n >> 10 << 10).String()
	case n < 10<<30:
		return event.Bytes(n >> 20 << 20).String()
	default:
		return event.Bytes(n >> 30 << 30).String()
	}
}
