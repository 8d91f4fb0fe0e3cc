package replay

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"andon/deploy/kafka/brokertest"
	"andon/ingest/broker"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// bus is the log that a test sends to: the embedded broker, or Apache Kafka.
type bus interface {
	Addr() string
	Close() error
}

type realBus struct{ *brokertest.Broker }

func (b realBus) Addr() string { return b.Broker.Addr }
func (b realBus) Close() error { return nil }

func openBroker(t *testing.T, dir, listen string) bus {
	t.Helper()
	if brokertest.Wanted() {
		b := brokertest.Get(t)
		b.Topics(t, 3, "rows")
		b.Topics(t, 1, "labels")
		return realBus{b}
	}
	cfg := broker.Default()
	cfg.Listen, cfg.Dir, cfg.MinFree = listen, dir, 1<<20
	b, err := broker.Open(cfg, quiet(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.EnsureTopics(t.Context(), broker.Topic{Name: "rows", Partitions: 3}, broker.Topic{Name: "labels", Partitions: 1}); err != nil {
		t.Fatal(err)
	}
	return b
}

// got is a record that was read back.
type got struct {
	Asset    string    `json:"asset"`
	Time     time.Time `json:"time"`
	V        *float64  `json:"v"`
	Pipeline string    `json:"pipeline"`
	Label    string    `json:"label"`

	partition int32
	at        time.Time
}

// readAll reads all records of a topic, each partition's in order.
func readAll(t *testing.T, address, topic string) []got {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(20*time.Millisecond), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ends, err := kadm.NewClient(c).ListEndOffsets(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	total := int64(0)
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	var out []got
	for int64(len(out)) < total {
		f := c.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatalf("%s: %v after %d of %d records", topic, err, len(out), total)
		}
		f.EachRecord(func(r *kgo.Record) {
			g := got{partition: r.Partition, at: r.Timestamp}
			if err := json.Unmarshal(r.Value, &g); err != nil {
				t.Fatalf("%s: %v", r.Value, err)
			}
			if string(r.Key) != g.Asset {
				t.Fatalf("key %s of %s", r.Key, r.Value)
			}
			out = append(out, g)
		})
	}
	return out
}

// fleet is a recording of 7 assets with 40 rows and more each; v counts within an asset.
func fleet() (fstest.MapFS, int) {
	var b strings.Builder
	b.WriteString("unit,cycle,v\n")
	rows := 0
	for unit := 1; unit <= 7; unit++ {
		for cycle := 1; cycle <= 40+unit; cycle++ {
			fmt.Fprintf(&b, "%d,%d,%d\n", unit, cycle, cycle)
			rows++
		}
	}
	return fstest.MapFS{"fleet.csv": {Data: []byte(b.String())}}, rows
}

func fleetReplay() Replay {
	return Replay{Name: "fleet", File: "fleet.csv", Topic: "rows", Asset: "m-{unit}", Time: counted, Signals: []string{"v"},
		Label: &Label{Topic: "labels", Pipeline: "p", Kind: "failure"}}
}

func newPlayer(t *testing.T, r Replay, with Surroundings) *Player {
	t.Helper()
	p, err := New(r, with, quiet())
	if err != nil {
		t.Fatal(err)
	}
	p.tick = 5 * time.Millisecond
	return p
}

// whole checks that each asset's values count up from 1 and are complete; it returns how many were doubled.
func whole(t *testing.T, records []got) (doubled int) {
	t.Helper()
	next := make(map[string]float64)
	for _, g := range records {
		switch want := next[g.Asset] + 1; {
		case *g.V == want:
			next[g.Asset] = want
		case *g.V < want:
			doubled++
		default:
			t.Fatalf("%s: %v comes after %v", g.Asset, *g.V, want-1)
		}
	}
	for unit := 1; unit <= 7; unit++ {
		if n := next[fmt.Sprint("m-", unit)]; n != float64(40+unit) {
			t.Errorf("m-%d ends at %v", unit, n)
		}
	}
	return doubled
}

func TestPlay(t *testing.T) {
	b := openBroker(t, t.TempDir(), "127.0.0.1:0")
	defer b.Close()
	files, rows := fleet()
	var progress []Progress
	with := Surroundings{Brokers: []string{b.Addr()}, Files: files, Cursor: filepath.Join(t.TempDir(), "fleet.json"),
		Progress: func(p Progress) { progress = append(progress, p) }}
	for range 2 { // the second time there is nothing left to send
		if err := newPlayer(t, fleetReplay(), with).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	records := readAll(t, b.Addr(), "rows")
	if doubled := whole(t, records); len(records) != rows || doubled > 0 {
		t.Errorf("%d records of %d, %d doubled", len(records), rows, doubled)
	}
	last := make(map[int32]time.Time)
	home := make(map[string]int32)
	for _, g := range records {
		if g.Time.Before(last[g.partition]) {
			t.Fatalf("partition %d: %v after %v", g.partition, g.Time, last[g.partition])
		}
		last[g.partition] = g.Time
		if p, ok := home[g.Asset]; ok && p != g.partition {
			t.Fatalf("%s is in two partitions", g.Asset)
		}
		home[g.Asset] = g.partition
		if since := time.Since(g.at); since < 0 || since > time.Hour {
			t.Fatalf("the record's own time is %v", g.at)
		}
	}
	labels := readAll(t, b.Addr(), "labels")
	if len(labels) != 7 {
		t.Errorf("%d labels", len(labels))
	}
	for _, l := range labels {
		var unit int
		fmt.Sscanf(l.Asset, "m-%d", &unit)
		if want := counted.Start.Add(time.Duration(40+unit) * time.Hour); !l.Time.Equal(want) || l.Pipeline != "p" || l.Label != "failure" {
			t.Errorf("label %+v, want the time %v", l, want)
		}
	}
	end := progress[len(progress)-1]
	if !end.Done || end.Rows != int64(rows) || end.Total != int64(rows) || end.Name != "fleet" || end.Event.IsZero() {
		t.Errorf("progress ends with %+v", end)
	}
}

// Stopped again and again, a replay sends every row once; from an older cursor, as a crash leaves it, every row at least once.
func TestResume(t *testing.T) {
	b := openBroker(t, t.TempDir(), "127.0.0.1:0")
	defer b.Close()
	files, rows := fleet()
	dir := t.TempDir()
	with := Surroundings{Brokers: []string{b.Addr()}, Files: files, Cursor: filepath.Join(dir, "c.json")}
	r := fleetReplay()
	r.MaxRate = 600
	runs := 0
	for done := false; !done; runs++ {
		ctx, cancel := context.WithCancel(t.Context())
		seen := 0
		with.Progress = func(p Progress) {
			if seen++; seen == 4 {
				cancel()
			}
			done = p.Done
		}
		if err := newPlayer(t, r, with).Run(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	records := readAll(t, b.Addr(), "rows")
	if doubled := whole(t, records); doubled != 0 || len(records) != rows || runs < 3 {
		t.Errorf("%d records of %d, %d doubled in %d runs", len(records), rows, doubled, runs)
	}
	if n := len(readAll(t, b.Addr(), "labels")); n != 7 {
		t.Errorf("%d labels", n)
	}

	// A crash: the cursor is of some time before the last rows.
	var old []byte
	with.Cursor = filepath.Join(dir, "d.json")
	r.Topic = "labels"
	r.Label = nil
	ctx, cancel := context.WithCancel(t.Context())
	with.Progress = func(p Progress) {
		if old == nil && p.Rows > 50 {
			old, _ = os.ReadFile(with.Cursor)
		} else if p.Rows > 120 {
			cancel()
		}
	}
	if err := newPlayer(t, r, with).Run(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := os.WriteFile(with.Cursor, old, 0o644); err != nil || old == nil {
		t.Fatal(err, "no cursor was kept")
	}
	with.Progress = nil
	if err := newPlayer(t, r, with).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	all := readAll(t, b.Addr(), "labels")
	if doubled := whole(t, all[7:]); doubled == 0 || doubled != len(all)-7-rows {
		t.Errorf("%d doubled of %d", doubled, len(all)-7)
	}
}

func TestOtherRecording(t *testing.T) {
	files, _ := fleet()
	dir := t.TempDir()
	b := openBroker(t, t.TempDir(), "127.0.0.1:0")
	defer b.Close()
	with := Surroundings{Brokers: []string{b.Addr()}, Files: files, Cursor: filepath.Join(dir, "c.json")}
	ctx, cancel := context.WithCancel(t.Context())
	with.Progress = func(p Progress) {
		if p.Rows > 10 {
			cancel()
		}
	}
	r := fleetReplay()
	r.MaxRate = 1000
	if err := newPlayer(t, r, with).Run(ctx); err != nil {
		t.Fatal(err)
	}
	r.Time.Step = time.Minute
	if err := newPlayer(t, r, with).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "another recording") {
		t.Errorf("error is %v", err)
	}
	if err := os.WriteFile(with.Cursor, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := newPlayer(t, r, with).Run(t.Context()); err == nil || !strings.Contains(err.Error(), "is not a cursor") {
		t.Errorf("error is %v", err)
	}
}

// The broker goes and comes back: nothing is lost, nothing doubled.
func TestBrokerRestarts(t *testing.T) {
	if brokertest.Wanted() {
		t.Skip("it restarts its broker, which is shared where it is Apache Kafka")
	}
	dir := t.TempDir()
	b := openBroker(t, dir, "127.0.0.1:0")
	address := b.Addr()
	files, rows := fleet()
	r := fleetReplay()
	r.MaxRate = 1000
	restart := make(chan struct{}, 1)
	with := Surroundings{Brokers: []string{address}, Files: files, Progress: func(Progress) {
		select {
		case restart <- struct{}{}:
		default:
		}
	}}
	done := make(chan error)
	go func() { done <- newPlayer(t, r, with).Run(t.Context()) }()
	for range 3 {
		<-restart
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		b = openBroker(t, dir, address)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	defer func() { b.Close() }()
	records := readAll(t, address, "rows")
	if doubled := whole(t, records); doubled > 0 || len(records) != rows {
		t.Errorf("%d records of %d, %d doubled", len(records), rows, doubled)
	}
}

func TestDeadBroker(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	files, _ := fleet()
	r := fleetReplay()
	r.Timeout = 300 * time.Millisecond
	err = newPlayer(t, r, Surroundings{Brokers: []string{address}, Files: files}).Run(t.Context())
	for _, want := range []string{"replay fleet: ", "no acknowledgement from " + address + " for 300ms", "check that the broker runs", "refused"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

func TestUnknownTopic(t *testing.T) {
	b := openBroker(t, t.TempDir(), "127.0.0.1:0")
	defer b.Close()
	files, _ := fleet()
	r := fleetReplay()
	r.Topic = "nobody.made.this"
	err := newPlayer(t, r, Surroundings{Brokers: []string{b.Addr()}, Files: files}).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "send to nobody.made.this: the topic does not exist") {
		t.Errorf("error is %v", err)
	}
	if labels := readAll(t, b.Addr(), "labels"); r.Label == nil || len(labels) != 0 {
		t.Errorf("%d labels of rows that nobody has", len(labels))
	}
}

// A loop goes on in event time, each asset on its own.
func TestLoop(t *testing.T) {
	b := openBroker(t, t.TempDir(), "127.0.0.1:0")
	defer b.Close()
	files := fstest.MapFS{"two.csv": {Data: []byte("unit,cycle,v\na,1,1\na,2,2\nb,1,1\nb,2,2\nb,3,3\n")}}
	r := Replay{Name: "loop", File: "two.csv", Topic: "labels", Asset: "{unit}", Time: counted, Signals: []string{"v"}, MaxRate: 2000, Loop: true, Gap: 10 * time.Hour}
	cursor := filepath.Join(t.TempDir(), "c")
	sent := int64(0)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		with := Surroundings{Brokers: []string{b.Addr()}, Files: files, Cursor: cursor, Progress: func(p Progress) {
			if p.Rows > sent+100 {
				sent = p.Rows
				cancel()
			}
			if p.Total != 0 || p.Done {
				t.Errorf("progress of a loop: %+v", p)
			}
		}}
		if err := newPlayer(t, r, with).Run(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	next := map[string]time.Time{"a": counted.Start.Add(time.Hour), "b": counted.Start.Add(time.Hour)}
	lives := map[string]float64{"a": 2, "b": 3}
	for i, g := range readAll(t, b.Addr(), "labels") {
		if !g.Time.Equal(next[g.Asset]) {
			t.Fatalf("record %d of %s is at %v, want %v", i, g.Asset, g.Time, next[g.Asset])
		}
		next[g.Asset] = g.Time.Add(time.Hour)
		if *g.V == lives[g.Asset] {
			next[g.Asset] = g.Time.Add(10 * time.Hour)
		}
	}
}

// Sending a recording of the demo as fast as possible; rows/s is what matters.
func BenchmarkPlay(b *testing.B) {
	cfg := broker.Default()
	cfg.Listen, cfg.Dir = "127.0.0.1:0", b.TempDir()
	bus, err := broker.Open(cfg, quiet(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer bus.Close()
	if err := bus.EnsureTopics(b.Context(), broker.Topic{Name: "rows", Partitions: 4}); err != nil {
		b.Fatal(err)
	}
	r := Replay{Name: "train", File: "fd001_train.csv.gz", Topic: "rows", Asset: "retired-{unit:03d}", Time: counted}
	rows := int64(0)
	for b.Loop() {
		p, err := New(r, Surroundings{Brokers: []string{bus.Addr()}, Files: os.DirFS("../../deploy/demo"),
			Progress: func(at Progress) { rows = at.Rows }}, quiet())
		if err != nil {
			b.Fatal(err)
		}
		if err := p.Run(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
