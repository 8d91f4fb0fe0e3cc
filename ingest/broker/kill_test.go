package broker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// childBroker is the process that the kill tests kill.
func childBroker(dir, address string) {
	cfg := Default()
	cfg.Dir, cfg.Listen, cfg.MinFree = dir, address, 1<<20
	cfg.MaxBytes, cfg.TopicBytes = mib(256), mib(64)
	b, err := Open(cfg, quiet(), nil)
	if err == nil {
		err = b.EnsureTopics(context.Background(), Topic{Name: "a", Partitions: 3})
	}
	if err == nil {
		fmt.Println("open")
		err = b.Run(context.Background())
	}
	fmt.Println(err)
	os.Exit(1)
}

func startChild(t *testing.T, dir, address string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "ANDON_TEST_BROKER_DIR="+dir, "ANDON_TEST_BROKER_LISTEN="+address)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 256)
	n, err := out.Read(said)
	if string(said[:n]) != "open\n" {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("the child says %q, %v", said[:n], err)
	}
	return cmd
}

// Killed again and again under load, the broker loses no acknowledged record and no acknowledged commit, and doubles none of an idempotent producer's.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	l, err := listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	child := startChild(t, dir, address)
	defer func() { child.Process.Kill(); child.Wait() }()

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	producer, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ProducerLinger(time.Millisecond), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }), kgo.MaxBufferedRecords(2000),
		kgo.MetadataMinAge(10*time.Millisecond), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	committer, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.MetadataMinAge(10*time.Millisecond), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer committer.Close()

	var mu sync.Mutex
	acked := make(map[int]bool)
	var sent, committed atomic.Int64
	var work sync.WaitGroup
	stop := make(chan struct{})
	work.Add(2)
	go func() {
		defer work.Done()
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			producer.Produce(ctx, &kgo.Record{Topic: "a", Value: []byte(strconv.Itoa(i))}, func(_ *kgo.Record, err error) {
				if err != nil {
					return // not acknowledged: it may be there or not
				}
				mu.Lock()
				acked[i] = true
				mu.Unlock()
			})
			sent.Add(1)
		}
	}()
	go func() {
		defer work.Done()
		adm := kadm.NewClient(committer)
		for i := int64(1); ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			var o kadm.Offsets
			o.Add(kadm.Offset{Topic: "a", Partition: 0, At: i, LeaderEpoch: -1, Metadata: "note"})
			if adm.CommitAllOffsets(ctx, "g", o) == nil {
				committed.Store(i)
			}
		}
	}()

	const kills = 4
	r := rand.New(rand.NewPCG(7, 11))
	for range kills {
		// Kill under load: after a random number of further records.
		for until := sent.Load() + 2000 + r.Int64N(8000); sent.Load() < until; {
			time.Sleep(time.Millisecond)
		}
		child.Process.Kill()
		child.Wait()
		child = startChild(t, dir, address)
	}
	for until := sent.Load() + 1000; sent.Load() < until; {
		time.Sleep(time.Millisecond)
	}
	close(stop)
	work.Wait()
	if err := producer.Flush(ctx); err != nil {
		t.Fatal(err)
	}

	seen := make(map[int]int)
	adm := kadm.NewClient(committer)
	ends, err := adm.ListEndOffsets(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	consumer, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.ConsumeTopics("a"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer consumer.Close()
	for n := int64(0); n < total; {
		f := consumer.PollFetches(ctx)
		if err := f.Err(); err != nil {
			t.Fatal(err)
		}
		f.EachRecord(func(r *kgo.Record) {
			i, _ := strconv.Atoi(string(r.Value))
			seen[i]++
			n++
		})
	}
	lost, doubled := 0, 0
	for i := range acked {
		if seen[i] == 0 {
			lost++
		}
	}
	for _, n := range seen {
		doubled += n - 1
	}
	if lost > 0 || doubled > 0 || len(acked) < 1000*kills {
		t.Errorf("of %d acknowledged records %d are lost; %d are doubled", len(acked), lost, doubled)
	}
	got, err := adm.FetchOffsets(ctx, "g")
	if err != nil {
		t.Fatal(err)
	}
	if at, _ := got.Lookup("a", 0); at.At < committed.Load() || committed.Load() == 0 || at.Metadata != "note" {
		t.Errorf("commit is %+v, acknowledged was %d", at, committed.Load())
	}
	t.Logf("%d records acknowledged, %d commits, %d kills", len(acked), committed.Load(), kills)
}
