package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// recording is a file in memory: each asset's rows in the order of their times.
type recording struct {
	assets []*asset
	// names are the signals as they stand in a record: `,"s_2":`.
	names []string
	rows  int64
	// cells holds all rows' cells as JSON numbers, one after the other with a comma behind each; a missing one is nothing but its comma.
	cells []byte
}

type asset struct {
	name string
	// head is the record's begin: `{"asset":"compressor-017","time":"`.
	head []byte
	rows []row
	// whole tells that the file's last row of this asset is among them.
	whole bool
	// count is how many of the asset's rows the file has had so far.
	count int64
}

type row struct {
	time int64 // Unix nanoseconds
	at   int64 // of its cells
	size int32 // of its cells
}

const rowBytes = 24 // of a row without its cells

// first and last are event times; an asset has rows.
func (a *asset) first() int64 { return a.rows[0].time }
func (a *asset) last() int64  { return a.rows[len(a.rows)-1].time }

// load reads the file that r names from files, or from the disk when files is nil. Its errors name file, line and column.
func load(r Replay, files fs.FS) (*recording, error) {
	var f io.ReadCloser
	var err error
	if files == nil {
		f, err = os.Open(r.File)
	} else {
		f, err = files.Open(r.File)
	}
	if err != nil {
		return nil, fmt.Errorf("open the recording: %w", err)
	}
	defer f.Close()
	return read(r, f)
}

func read(r Replay, from io.Reader) (*recording, error) {
	in := bufio.NewReaderSize(from, 256<<10)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", r.File, err)
		}
		in = bufio.NewReaderSize(z, 256<<10)
	}
	if mark, _ := in.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3)
	}
	p, err := newParser(r, in)
	if err != nil {
		return nil, err
	}
	for {
		if err := p.next(); errors.Is(err, io.EOF) {
			return p.finish()
		} else if err != nil {
			return nil, err
		}
	}
}

// parser turns lines into rows.
type parser struct {
	Replay
	csv      *csv.Reader
	header   map[string]int
	record   []string
	line     int64 // rows seen
	asset    template
	time     timeReader
	timeCol  int
	signals  []int // columns
	memory   int64
	from, to int64
	byName   map[string]*asset
	name     []byte
	out      *recording
}

func newParser(r Replay, in io.Reader) (*parser, error) {
	comma, err := r.comma()
	if err != nil {
		return nil, fmt.Errorf("separator: %w", err)
	}
	p := &parser{Replay: r, csv: csv.NewReader(in), header: make(map[string]int), timeCol: -1, byName: make(map[string]*asset), out: &recording{},
		from: math.MinInt64, to: math.MaxInt64, memory: int64(r.MaxMemory)}
	p.csv.Comma, p.csv.ReuseRecord = comma, true
	if p.memory == 0 {
		p.memory = 1 << 30
	}
	if !r.From.IsZero() {
		p.from = r.From.UnixNano()
	}
	if !r.To.IsZero() {
		p.to = r.To.UnixNano()
	}
	if p.asset, err = parseTemplate(r.Asset); err != nil {
		return nil, fmt.Errorf("asset: %w", err)
	}
	if p.time, err = r.Time.reader(); err != nil {
		return nil, fmt.Errorf("time: %w", err)
	}
	names := r.Columns
	if len(names) == 0 {
		names, err = p.csv.Read()
		if errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s: is empty: the first line must name the columns", r.File)
		}
		if err != nil {
			return nil, p.fault(err)
		}
	} else {
		p.csv.FieldsPerRecord = len(names)
	}
	for i, n := range names {
		n = strings.TrimSpace(n)
		if _, twice := p.header[n]; twice {
			return nil, fmt.Errorf("%s: two columns are named %q: name them with columns, and skip_rows: 1", r.File, n)
		}
		p.header[n] = i
	}
	for _, c := range p.asset.columns() {
		if err := p.need("asset", c); err != nil {
			return nil, err
		}
	}
	if c := r.Time.Column; c != "" {
		if err := p.need("time", c); err != nil {
			return nil, err
		}
		p.timeCol = p.header[c]
	}
	signals, err := parseSignals(r.Signals)
	if err != nil {
		return nil, fmt.Errorf("signals: %w", err)
	}
	for _, s := range signals {
		if err := p.need("signals", s.column); err != nil {
			return nil, err
		}
		p.send(s)
	}
	return p, nil
}

func (p *parser) need(key, column string) error {
	if _, ok := p.header[column]; ok {
		return nil
	}
	var has []string
	for c := range p.header {
		has = append(has, c)
	}
	slices.SortFunc(has, func(a, b string) int { return p.header[a] - p.header[b] })
	return fmt.Errorf("%s: %s names the column %q, but the file has %s", p.File, key, column, strings.Join(has, ", "))
}

func (p *parser) send(s signal) {
	quoted, _ := json.Marshal(s.name)
	p.out.names = append(p.out.names, ","+string(quoted)+":")
	p.signals = append(p.signals, p.header[s.column])
}

// chooseSignals takes every column that is a number in the first row.
func (p *parser) chooseSignals() error {
	used := p.asset.columns()
	names := make([]string, len(p.header))
	for c, i := range p.header {
		names[i] = c
	}
	for i, c := range names {
		if slices.Contains(used, c) || i == p.timeCol || c == "asset" || c == "time" || c == "" {
			continue
		}
		if _, err := appendNumber(nil, p.record[i]); err == nil {
			p.send(signal{c, c})
		}
	}
	if len(p.signals) == 0 {
		return fmt.Errorf("%s: no column of the first row is a number: name the columns in signals", p.File)
	}
	return nil
}

// next reads one row. io.EOF tells that there are no more.
func (p *parser) next() error {
	record, err := p.csv.Read()
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	if err != nil {
		return p.fault(err)
	}
	p.record = record
	p.line++
	if p.line <= int64(p.SkipRows) {
		return nil
	}
	if len(p.signals) == 0 {
		if err := p.chooseSignals(); err != nil {
			return err
		}
	}
	cell := func(c string) string { return p.record[p.header[c]] }
	var column string
	if p.name, column, err = p.asset.append(p.name[:0], cell); err != nil {
		return p.at(column, err)
	}
	a := p.byName[string(p.name)]
	if a == nil {
		a = &asset{name: string(p.name)}
		quoted, _ := json.Marshal(a.name)
		a.head = append(append([]byte(`{"asset":`), quoted...), `,"time":"`...)
		p.byName[a.name] = a
		p.out.assets = append(p.out.assets, a)
	}
	var text string
	if p.timeCol >= 0 {
		text = record[p.timeCol]
	}
	at, err := p.time(text, a.count)
	if err != nil {
		return p.at(p.Time.Column, err)
	}
	a.count++
	if p.MaxRows > 0 && p.line-int64(p.SkipRows) > int64(p.MaxRows) || at < p.from || at >= p.to {
		a.whole = a.whole && at < p.from
		return nil
	}
	a.whole = true
	r := row{time: at, at: int64(len(p.out.cells))}
	for i, c := range p.signals {
		if p.out.cells, err = appendNumber(p.out.cells, record[c]); err != nil {
			return p.at(p.columnName(i), err)
		}
		p.out.cells = append(p.out.cells, ',')
	}
	r.size = int32(int64(len(p.out.cells)) - r.at)
	a.rows = append(a.rows, r)
	p.out.rows++
	if held := int64(len(p.out.cells)) + p.out.rows*rowBytes; held > p.memory {
		return fmt.Errorf("%s: line %d: the recording does not fit into max_memory (%d MiB): raise it, or play parts with skip_rows and max_rows",
			p.File, p.lineNumber(), p.memory>>20)
	}
	return nil
}

func (p *parser) columnName(signal int) string {
	for c, i := range p.header {
		if i == p.signals[signal] {
			return c
		}
	}
	return ""
}

func (p *parser) lineNumber() int {
	line, _ := p.csv.FieldPos(0)
	return line
}

func (p *parser) at(column string, err error) error {
	return fmt.Errorf("%s: line %d, column %s: %w", p.File, p.lineNumber(), column, err)
}

func (p *parser) fault(err error) error {
	var bad *csv.ParseError
	if errors.As(err, &bad) {
		return fmt.Errorf("%s: line %d: %w", p.File, bad.Line, bad.Err)
	}
	return fmt.Errorf("%s: %w", p.File, err)
}

// finish puts each asset's rows in order; rows of one time stay as the file has them.
func (p *parser) finish() (*recording, error) {
	r := p.out
	r.assets = slices.DeleteFunc(r.assets, func(a *asset) bool { return len(a.rows) == 0 })
	if r.rows == 0 {
		return nil, fmt.Errorf("%s: no row is within from, to, skip_rows and max_rows", p.File)
	}
	for _, a := range r.assets {
		slices.SortStableFunc(a.rows, func(x, y row) int {
			switch {
			case x.time < y.time:
				return -1
			case x.time > y.time:
				return 1
			}
			return 0
		})
	}
	return r, nil
}

// fingerprint tells recordings apart by their assets and times, so that a cursor is not used with another.
func (r *recording) fingerprint() string {
	h := sha256.New()
	var b [8]byte
	for _, a := range r.assets {
		fmt.Fprintf(h, "%q %d\n", a.name, len(a.rows))
		for _, w := range a.rows {
			binary.LittleEndian.PutUint64(b[:], uint64(w.time))
			h.Write(b[:])
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// appendRecord adds the JSON of an asset's row, shifted in time.
func (r *recording) appendRecord(dst []byte, a *asset, w row, shift int64) []byte {
	dst = append(dst, a.head...)
	dst = time.Unix(0, w.time+shift).UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, '"')
	cells := r.cells[w.at : w.at+int64(w.size)]
	for _, name := range r.names {
		end := bytes.IndexByte(cells, ',')
		if end > 0 {
			dst = append(append(dst, name...), cells[:end]...)
		}
		cells = cells[end+1:]
	}
	return append(dst, '}')
}

// missing are cells that hold no number and say so.
var missing = []string{"", "nan", "na", "n/a", "null", "none", "-"}

// appendNumber adds a cell as a JSON number: as it is written where JSON allows that. A missing one adds nothing.
func appendNumber(dst []byte, cell string) ([]byte, error) {
	cell = strings.TrimSpace(cell)
	if isJSONNumber(cell) {
		return append(dst, cell...), nil
	}
	if len(cell) <= 4 && slices.Contains(missing, strings.ToLower(cell)) {
		return dst, nil
	}
	v, err := strconv.ParseFloat(cell, 64)
	if err != nil {
		return dst, fmt.Errorf("%q is not a number", cell)
	}
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return dst, fmt.Errorf("%q is not a finite number", cell)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64), nil
}

// isJSONNumber tells whether s is a number by the grammar of RFC 8259, short of overflow.
func isJSONNumber(s string) bool {
	i := 0
	digits := func() bool {
		from := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i > from
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	lead := i
	if !digits() || s[lead] == '0' && i > lead+1 {
		return false
	}
	if i < len(s) && s[i] == '.' {
		if i++; !digits() {
			return false
		}
	}
	// An exponent may overflow: ParseFloat decides.
	return i == len(s) && len(s) < 300
}
