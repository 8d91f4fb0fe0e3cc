package ingest

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// begin starts a member that ends by itself.
func begin(t *testing.T, c *cluster, l *ledger, who string, until map[int32]int64) *member {
	t.Helper()
	return start(t, testConfig(c), testSource(), l.open(who, nil), func(in *Intake) { in.Until(until) })
}

// An Intake with an end reads to it and not beyond, and begins where its group is when it is started again.
func TestUntil(t *testing.T) {
	c := broker(t, 4)
	p := producer(t, c)
	produce(t, p, 3, 1000) // the fourth partition is empty
	l := newLedger(t)
	until := map[int32]int64{0: 1000, 1: 300, 3: 0} // the third is not named
	run := func(who string) *member {
		m := begin(t, c, l, who, until)
		if err := m.wait(); err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := run("first")
	if got := m.metric("andon_ingest_records_total"); got != 1300 {
		t.Errorf("%v records handled, want 1300", got)
	}
	produce(t, p, 3, 10)
	if got := run("again").metric("andon_ingest_records_total"); got != 0 {
		t.Errorf("%v records handled again", got)
	}
	until[1] = 400
	if got := run("further").metric("andon_ingest_records_total"); got != 100 {
		t.Errorf("%v records handled, want the next 100", got)
	}
	for id, want := range map[int32]int{0: 1000, 1: 400, 2: 0, 3: 0} {
		for o := range int64(want) {
			if n := l.stored[id][o]; n != 1 {
				t.Fatalf("%d/%d was stored %d times", id, o, n)
			}
		}
		if len(l.stored[id]) != want {
			t.Errorf("partition %d: %d offsets stored, want %d", id, len(l.stored[id]), want)
		}
	}
	for _, f := range l.faults {
		t.Error(f)
	}
}

// The last offsets before the end need not hold records: a transaction's marker, an aborted transaction, records that were deleted.
func TestUntilNoRecord(t *testing.T) {
	c := broker(t, 3)
	p := producer(t, c)
	produce(t, p, 3, 100)
	tx := producer(t, c, kgo.TransactionalID("tx-until"))
	for _, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort} {
		if err := tx.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		produce(t, tx, 1, 10)
		if err := tx.EndTransaction(t.Context(), end); err != nil {
			t.Fatal(err)
		}
	}
	adm := kadm.NewClient(p)
	gone := kadm.Offsets{}
	gone.Add(kadm.Offset{Topic: topic, Partition: 2, At: 100})
	if _, err := adm.DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	until := map[int32]int64{0: 122, 1: 90, 2: 100}
	eventually(t, "the last transaction's marker", func() bool { // a broker answers the end of a transaction before it writes the marker
		ends, err := adm.ListEndOffsets(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		end, _ := ends.Lookup(topic, 0)
		return end.Offset == until[0]
	})
	l := newLedger(t)
	if err := begin(t, c, l, "only", until).wait(); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		t.Error(f)
	}
	if n := len(l.stored[0]); n != 110 {
		t.Errorf("%d records of the first partition, want 110", n)
	}
	if n := len(l.stored[1]); n != 90 {
		t.Errorf("%d records of the second partition, want 90", n)
	}
}

// What comes after the last record before the end is asked for: nothing else would say that the log was emptied up to it.
func TestUntilEmptied(t *testing.T) {
	c := broker(t, 1)
	p := producer(t, c)
	produce(t, p, 1, 100)
	l := newLedger(t)
	m := begin(t, c, l, "first", map[int32]int64{0: 40})
	if err := m.wait(); err != nil {
		t.Fatal(err)
	}
	gone := kadm.Offsets{}
	gone.Add(kadm.Offset{Topic: topic, Partition: 0, At: 100})
	if _, err := kadm.NewClient(p).DeleteRecords(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	m = begin(t, c, l, "second", map[int32]int64{0: 100})
	if err := m.wait(); err != nil {
		t.Fatal(err)
	}
	if got := m.metric("andon_ingest_expired_total"); got != 60 {
		t.Errorf("%v records told as expired, want 60", got)
	}
	if o, err := kadm.NewClient(p).FetchOffsets(t.Context(), group); err != nil {
		t.Error(err)
	} else if at, _ := o.Lookup(topic, 0); at.At != 100 {
		t.Errorf("the group is at %d, want 100", at.At)
	}
	if n := l.total(); n != 40 {
		t.Errorf("%d records stored, want 40", n)
	}
}

// Two members share the work; each ends when both are done, also the one that had nothing to do.
func TestUntilTogether(t *testing.T) {
	c := broker(t, 2)
	p := producer(t, c)
	produce(t, p, 2, 2000)
	l := newLedger(t)
	until := map[int32]int64{0: 2000, 1: 2000}
	var all []*member
	for i := range 3 {
		all = append(all, begin(t, c, l, fmt.Sprint("member ", i), until))
		time.Sleep(100 * time.Millisecond)
	}
	for _, m := range all {
		if err := m.wait(); err != nil {
			t.Fatal(err)
		}
	}
	l.check(2, 2000)
}
