package main

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/deploy"
)

var firstTime = time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)

// load is a topic's content: record i is the same on every run. Assets take turns; each walks through the demo's recording, one cycle an hour, from a place of
// its own, and begins again at its end.
type load struct {
	Rows    int      `json:"rows"`
	Assets  int      `json:"assets"`
	Signals []string `json:"signals"`
	// Bytes is the length of each value, filled up with a field that no pipeline wants; 0 leaves values as long as they come.
	Bytes int `json:"bytes"`
	// Groups is how many times the signals are there, each time with others of the recording's values, in objects named g1, g2 and so on; 0 puts them once
	// beside asset and time.
	Groups int `json:"groups"`

	recording [][]string
}

// open reads the recording.
func (l *load) open() error {
	f, err := deploy.Demo().Open("fd001_train.csv.gz")
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	table, err := csv.NewReader(z).ReadAll()
	if err != nil {
		return err
	}
	var columns []int
	for _, s := range l.Signals {
		i := slices.Index(table[0], s)
		if i < 0 {
			return fmt.Errorf("the recording has no column %s", s)
		}
		columns = append(columns, i)
	}
	for _, line := range table[1:] {
		row := make([]string, len(columns))
		for i, c := range columns {
			row[i] = line[c]
		}
		l.recording = append(l.recording, row)
	}
	return nil
}

func (l *load) asset(i int) int      { return i % l.Assets }
func (l *load) time(i int) time.Time { return firstTime.Add(time.Duration(i/l.Assets) * time.Hour) }
func (l *load) values(i int) []string {
	return l.recording[(i/l.Assets+197*l.asset(i))%len(l.recording)]
}
func assetName(asset int) string         { return string(appendAsset(nil, asset)) }
func appendAsset(b []byte, a int) []byte { return fmt.Appendf(b, "compressor-%03d", a) }

// append appends record i's value.
func (l *load) append(b []byte, i int) ([]byte, error) {
	from := len(b)
	b = append(b, `{"asset":"`...)
	b = appendAsset(b, l.asset(i))
	b = append(b, `","time":"`...)
	b = l.time(i).AppendFormat(b, time.RFC3339)
	b = append(b, '"')
	if l.Groups == 0 {
		b = l.members(b, l.values(i), true)
	}
	for g := range l.Groups {
		b = fmt.Appendf(b, `,"g%d":{`, g+1)
		b = append(l.members(b, l.values(i+31*g*l.Assets), false), '}')
	}
	if l.Bytes > 0 {
		const frame = len(`,"site":""}`)
		room := l.Bytes - (len(b) - from) - frame
		if room < 0 {
			return nil, fmt.Errorf("record %d does not fit into %d bytes", i, l.Bytes)
		}
		b = append(b, `,"site":"`...)
		for n := range room {
			b = append(b, "north hall, row 4, "[n%19])
		}
		b = append(b, '"')
	}
	return append(b, '}'), nil
}

// members appends one member a signal, the first with a comma before it if it follows others.
func (l *load) members(b []byte, values []string, follows bool) []byte {
	for s, v := range values {
		if s > 0 || follows {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, l.Signals[s]...)
		b = append(b, `":`...)
		b = append(b, v...)
	}
	return b
}

// paths names all signals of a record, as a source's signals do.
func (l *load) paths() []string {
	if l.Groups == 0 {
		return l.Signals
	}
	var all []string
	for g := range l.Groups {
		for _, s := range l.Signals {
			all = append(all, fmt.Sprintf("g%d.%s", g+1, s))
		}
	}
	return all
}

// order is what the filling process is told.
type order struct {
	load
	Broker      string `json:"broker"`
	Topic       string `json:"topic"`
	Compression string `json:"compression"`
}

// fill is the filling process.
func fill(args []string) error {
	if len(args) != 1 {
		return errors.New("this is a child of the benchmark; it takes one argument")
	}
	var o order
	if err := json.Unmarshal([]byte(args[0]), &o); err != nil {
		return err
	}
	if err := o.open(); err != nil {
		return err
	}
	codecs := map[string]kgo.CompressionCodec{"lz4": kgo.Lz4Compression(), "snappy": kgo.SnappyCompression(), "zstd": kgo.ZstdCompression(), "none": kgo.NoCompression()}
	codec, ok := codecs[o.Compression]
	if !ok {
		return fmt.Errorf("-compression: %q is not lz4, snappy, zstd or none", o.Compression)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(o.Broker), kgo.DefaultProduceTopic(o.Topic), kgo.ProducerBatchCompression(codec),
		kgo.ProducerLinger(20*time.Millisecond), kgo.MaxBufferedRecords(50_000), kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	keys := make([][]byte, o.Assets)
	for a := range keys {
		keys[a] = appendAsset(nil, a)
	}
	var acks sync.WaitGroup
	for i := 0; i < o.Rows && ctx.Err() == nil; i++ {
		value, err := o.append(make([]byte, 0, 320), i)
		if err != nil {
			return err
		}
		acks.Add(1)
		cl.Produce(ctx, &kgo.Record{Key: keys[o.asset(i)], Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				cancel(err)
			}
			acks.Done()
		})
	}
	acks.Wait()
	return context.Cause(ctx)
}

// fill fills a topic from a process of its own, so that the work is not on this one's account.
func (h *house) fill(ctx context.Context, l load, topic, compression string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text, err := json.Marshal(order{load: l, Broker: h.at.Brokers[0], Topic: topic, Compression: compression})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, self, "fill", string(text))
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("fill topic %s with %s records: %w", topic, strconv.Itoa(l.Rows), err)
	}
	return nil
}
