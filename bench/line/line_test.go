package main

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/ingest/decode"
)

func TestStageOf(t *testing.T) {
	check := func(want string, stack ...string) {
		t.Helper()
		if got, _ := stageOf(stack); got != want {
			t.Errorf("%q: %s, want %s", stack, got, want)
		}
	}
	check("decode", "runtime.memmove", "andon/ingest/decode.(*scanner).key", "andon/ingest.(*partition).decode", "andon/ingest.(*partition).run")
	check("ingest", "andon/event.(*Batch).Values", "andon/ingest.(*partition).handleBatch")
	check("broker", "syscall.write", "github.com/twmb/franz-go/pkg/kfake.(*Cluster).run")
	check("broker", "hash/crc32.update", "andon/ingest/broker.(*Broker).onProduce", "github.com/twmb/franz-go/pkg/kfake.(*Cluster).run")
	check("kafka client", "syscall.read", "github.com/twmb/franz-go/pkg/kgo.(*broker).handleReqs")
	check("model", "runtime.cgocall", "github.com/yalue/onnxruntime_go.run", "andon/model/ort.(*Binding).Run", "andon/scorer.(*Scorer).run", "andon/processors.(*Pipeline).score")
	check("features", "andon/processors/features.(*Window).Append", "andon/processors.(*Pipeline).window")
	check("sink", "runtime.memmove", "github.com/ClickHouse/ch-go/proto.(*Reader).ReadFull", "andon/sinks/clickhouse.(*frame).fill", "andon/processors.(*Pipeline).flush")
	check("collector", "runtime.scanobject", "runtime.gcBgMarkWorker")
	check("model", "runtime._ExternalCode")
	check("other", "main_test.x", "runtime.goexit")
	check("other")
}

// A profile of the runtime's own making is read, and finds the function that burnt the time.
func TestReadProfile(t *testing.T) {
	stop, err := startProfile()
	if err != nil {
		t.Fatal(err)
	}
	used := burn(200 * time.Millisecond)
	profile := stop()
	samples, err := readProfile(profile)
	if err != nil {
		t.Fatal(err)
	}
	var seen time.Duration
	for _, s := range samples {
		if slices.ContainsFunc(s.stack, func(f string) bool { return strings.HasSuffix(f, ".burn") }) {
			seen += s.cpu
		}
	}
	if seen < used/3 || seen > used*3 {
		t.Errorf("%v seen in burn, which took %v", seen, used)
	}
	all, err := readStages([][]byte{profile, profile}, 2)
	if err != nil || len(all) == 0 {
		t.Fatal(all, err)
	}
	sum := 0.0
	for _, s := range all {
		sum += s.Share
	}
	if sum < 0.999 || sum > 1.001 {
		t.Errorf("the shares add up to %v", sum)
	}
	for n := range profile {
		if _, err := readProfile(profile[:n]); err == nil {
			t.Fatalf("%d of %d bytes are read without an error", n, len(profile))
		}
	}
}

func burn(d time.Duration) time.Duration {
	begun, x := ownCPU(), uint64(1)
	for ownCPU()-begun < d {
		for range 1_000_000 {
			x = x*6364136223846793005 + 1442695040888963407
		}
	}
	if x == 0 {
		panic("unreachable, but the loop must stay")
	}
	return ownCPU() - begun
}

func TestFieldsBroken(t *testing.T) {
	for _, raw := range [][]byte{{0x80}, {0x0a, 5, 1}, {0x0a}, {0x09, 1}, {0x0d, 1, 2, 3, 4}} {
		if err := fields(raw, func(uint64, uint64, []byte) error { return nil }); err == nil {
			t.Errorf("% x is read without an error", raw)
		}
	}
}

// Every record decodes as a row of its asset and time, and has the length that was asked for.
func TestLoad(t *testing.T) {
	demo, err := readDemo()
	if err != nil {
		t.Fatal(err)
	}
	signals := demo.Source.Signals
	for _, l := range []load{{Rows: 5000, Assets: 100, Signals: signals}, {Rows: 5000, Assets: 1000, Signals: signals[:ingestSignals], Bytes: rowBytes},
		{Rows: 2000, Assets: 1000, Signals: signals, Bytes: wideBytes, Groups: wideGroups}} {
		if err := l.open(); err != nil {
			t.Fatal(err)
		}
		d, err := decode.New(decode.Spec{Signals: l.paths()}.WithDefaults())
		if err != nil {
			t.Fatal(err)
		}
		last := map[string]int64{}
		for i := range l.Rows {
			b, err := l.append(nil, i)
			if err != nil {
				t.Fatal(err)
			}
			if l.Bytes > 0 && len(b) != l.Bytes || !json.Valid(b) {
				t.Fatalf("record %d has %d bytes: %s", i, len(b), b)
			}
			var batch event.Batch
			if err := d.Decode(&event.Record{Value: b, Time: time.Now().UnixNano()}, &batch); err != nil || len(batch.Rows) != 1 {
				t.Fatalf("record %d: %d rows, %v: %s", i, len(batch.Rows), err, b)
			}
			r := batch.Rows[0]
			if r.Asset != assetName(l.asset(i)) || r.Time != l.time(i).UnixNano() || slices.ContainsFunc(r.Values, func(v float64) bool { return v != v }) {
				t.Fatalf("record %d became %+v", i, r)
			}
			if before, ok := last[r.Asset]; ok && r.Time-before != int64(time.Hour) {
				t.Fatalf("record %d of %s is %v after the one before", i, r.Asset, time.Duration(r.Time-before))
			}
			last[r.Asset] = r.Time
		}
	}
	l := load{Rows: 1, Assets: 1, Signals: signals, Bytes: 100}
	if err := l.open(); err != nil {
		t.Fatal(err)
	}
	if _, err := l.append(nil, 0); err == nil {
		t.Error("14 signals in 100 bytes")
	}
}

// The blocks follow each other in each partition, and every asset has its score each cycle.
func TestSeries(t *testing.T) {
	s := &series{signals: []string{"a", "b"}}
	var next [blockPartitions]int64
	ends := map[string][]int64{}
	for range 3 * blockPartitions {
		b := s.next(5)
		if b.First != next[b.Partition] || b.Next-b.First != int64(len(b.Scores)) || b.Readings.Len() != len(b.Scores) {
			t.Fatalf("block of %d/%d-%d has %d scores, %d readings; expected it at %d", b.Partition, b.First, b.Next, len(b.Scores), b.Readings.Len(), next[b.Partition])
		}
		next[b.Partition] = b.Next
		for _, x := range b.Scores {
			ends[x.Asset] = append(ends[x.Asset], x.End)
		}
	}
	if len(ends) != assets {
		t.Fatalf("%d assets", len(ends))
	}
	for a, all := range ends {
		for i := range all {
			if want := firstTime.Add(time.Duration(i+1) * time.Hour).UnixNano(); all[i] != want {
				t.Fatalf("%s: score %d is of %v", a, i, time.Unix(0, all[i]).UTC())
			}
		}
		if len(all) != 15 {
			t.Fatalf("%s: %d scores", a, len(all))
		}
	}
}

func TestMedian(t *testing.T) {
	same := func(x float64) float64 { return x }
	if m := median([]float64{3, 1, 2}, same); m != 2 {
		t.Error(m)
	}
	if m := median([]float64{4, 1, 2, 3}, same); m != 2.5 {
		t.Error(m)
	}
}

func TestNetworks(t *testing.T) {
	all, err := addNetworks([]network{{1, 32}}, "2x64,1x32,3x8")
	if err != nil || !slices.Equal(all, []network{{1, 32}, {2, 64}, {3, 8}}) {
		t.Error(all, err)
	}
	for _, bad := range []string{"64", "x", "0x64", "2x-1", "2x64x2"} {
		if _, err := addNetworks(nil, bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// This process sees its own memory and CPU time, and its children.
func TestProcess(t *testing.T) {
	me := family{os.Getpid()}
	if m := me.resident(); m < 1<<20 || m > 1<<36 {
		t.Errorf("%d bytes resident", m)
	}
	before := me.cpu()
	used := burn(100 * time.Millisecond)
	if d := me.cpu() - before; d < used/2 || d > used*2+4*tick {
		t.Errorf("%v of CPU time by /proc, %v by rusage", d, used)
	}
	if !slices.Contains(children(os.Getppid()), os.Getpid()) {
		t.Error("not among the children of the parent")
	}
}
