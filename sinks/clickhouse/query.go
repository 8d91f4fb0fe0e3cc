package clickhouse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/big"
	"os"
	"reflect"
	"strconv"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"andon/event"
)

// MaxLimit is the most rows that one answer may have.
const MaxLimit = 1_000_000

// Query puts a question as the user that may only read, and returns at most limit rows (at most MaxLimit; less than 1 means MaxLimit). The answer is
// Truncated when there were more. It ends with an error after QueryTimeout, or when the answer is larger than QueryMemory.
//
// Numbers that are not finite are nil, as JSON has none; what event.Table has no type for is text: decimals, UUIDs and addresses as ClickHouse
// writes them, maps and named tuples as JSON.
func (s *Store) Query(ctx context.Context, sql string, limit int) (*event.Table, error) {
	return s.QueryParams(ctx, sql, nil, limit)
}

// QueryParams is Query with values for the parameters of the question, which are written {name:Type}. A value is text as ClickHouse writes that type.
func (s *Store) QueryParams(ctx context.Context, sql string, params map[string]string, limit int) (*event.Table, error) {
	if limit < 1 || limit > MaxLimit {
		limit = MaxLimit
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.QueryTimeout)
	defer cancel()
	t, err := s.query(ctx, sql, params, limit)
	if err != nil {
		return nil, s.explainQuery(ctx, err)
	}
	return t, nil
}

func (s *Store) query(ctx context.Context, sql string, params map[string]string, limit int) (*event.Table, error) {
	settings := ch.Settings{"limit": limit + 1, "max_result_bytes": int64(s.cfg.QueryMemory), "result_overflow_mode": "throw"}
	if s.cfg.DSN != "" && s.cfg.ReaderDSN == "" {
		settings["readonly"] = 2
	}
	options := []ch.QueryOption{ch.WithSettings(settings)}
	if len(params) > 0 {
		escaped := make(ch.Parameters, len(params))
		for k, v := range params {
			escaped[k] = escape(v)
		}
		options = append(options, ch.WithParameters(escaped))
	}
	// Left early, the rest of the answer is not read but cut off.
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	t := &event.Table{Columns: []string{}, Types: []string{}, Rows: [][]any{}}
	rows, err := s.reader.Query(ch.Context(ctx, options...), sql)
	if errors.Is(err, io.EOF) && code(err) == 0 && ctx.Err() == nil {
		return t, nil // a statement without an answer
	}
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	defer cut()
	types := rows.ColumnTypes()
	dest := make([]any, len(types))
	for i, c := range types {
		t.Columns = append(t.Columns, c.Name())
		t.Types = append(t.Types, c.DatabaseTypeName())
		dest[i] = reflect.New(c.ScanType()).Interface()
	}
	for rows.Next() {
		if len(t.Rows) == limit {
			t.Truncated = true
			return t, nil
		}
		for _, d := range dest {
			reflect.ValueOf(d).Elem().SetZero()
		}
		if err := rows.Scan(dest...); err != nil {
			return nil, err
		}
		row := make([]any, len(dest))
		for i, d := range dest {
			row[i] = plain(reflect.ValueOf(d).Elem())
		}
		t.Rows = append(t.Rows, row)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return t, ctx.Err()
}

func (s *Store) explainQuery(ctx context.Context, err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || isCode(err, codeTimeout):
		return fmt.Errorf("the query took longer than %v: narrow it by pipeline, asset and time, or raise clickhouse.query_timeout: %w", s.cfg.QueryTimeout, err)
	case isCode(err, codeResultBytes) || errors.Is(err, errTooLarge):
		return fmt.Errorf("the answer is larger than %v: ask for fewer columns or rows, or raise clickhouse.query_memory: %w", s.cfg.QueryMemory, err)
	case isCode(err, codeMemory):
		return fmt.Errorf("the query needs more memory than it may use: narrow it by pipeline, asset and time: %w", err)
	case isCode(err, codeReadonly) && strings.Contains(err.Error(), "Cannot modify"):
		return fmt.Errorf("%w: queries run read-only; a user of one's own for clickhouse.reader_dsn needs readonly = 2, not 1", err)
	case isCode(err, codeDenied, codeReadonly):
		return fmt.Errorf("%w: queries may read andon's database and change nothing", err)
	case code(err) == 0:
		return explain(err)
	default:
		return err
	}
}

// escape writes a parameter's value as the server reads it (TSV rules).
func escape(v string) string {
	return strings.NewReplacer(`\`, `\\`, "\t", `\t`, "\n", `\n`, "\r", `\r`, "\x00", `\0`).Replace(v)
}

// plain returns a value as event.Table documents it.
func plain(v reflect.Value) any {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil
		}
		if b, ok := v.Interface().(*big.Int); ok {
			return b.String()
		}
		v = v.Elem()
	}
	if !v.IsValid() {
		return nil
	}
	switch x := v.Interface().(type) {
	case time.Time:
		return x
	case big.Int:
		return x.String()
	case interface{ Any() any }: // Variant and Dynamic
		return plain(reflect.ValueOf(x.Any()))
	case fmt.Stringer:
		return x.String()
	}
	if v.CanAddr() && v.Kind() == reflect.Struct {
		if x, ok := v.Addr().Interface().(json.Marshaler); ok {
			return asJSON(x)
		}
	}
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint()
	case reflect.Float32:
		// The shortest decimal that is this float32: 0.3, not 0.30000001192092896.
		f, _ := strconv.ParseFloat(strconv.FormatFloat(v.Float(), 'g', -1, 32), 64)
		return finite(f)
	case reflect.Float64:
		return finite(v.Float())
	case reflect.String:
		return v.String()
	case reflect.Slice, reflect.Array:
		out := make([]any, v.Len())
		for i := range out {
			out[i] = plain(v.Index(i))
		}
		return out
	case reflect.Map:
		out := make(map[string]any, v.Len())
		for k, e := range maps.Collect(v.Seq2()) {
			out[fmt.Sprint(plain(k))] = plain(e)
		}
		return asJSON(out)
	default:
		return fmt.Sprint(v.Interface())
	}
}

func finite(f float64) any {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil
	}
	return f
}

func asJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
