package ingest

import (
	"testing"
)

// A group resumes at its commit, with its note, and reads from where the handler says.
func TestResume(t *testing.T) {
	c := broker(t, 2)
	p := producer(t, c)
	produce(t, p, 2, 1000)
	first := newLedger(t)
	m := start(t, testConfig(c), testSource(), first.open("first", nil))
	eventually(t, "all stored", func() bool { return first.total() == 2000 })
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	first.check(2, 1000)

	produce(t, p, 2, 10)
	second := newLedger(t)
	m = start(t, testConfig(c), testSource(), second.open("second", func(k *keeper) {
		if k.a.Committed != 1000 || k.a.Note != "first up to 1000" {
			second.fault("committed %d with note %q", k.a.Committed, k.a.Note)
		}
		k.from = k.a.Committed - 100*int64(k.a.Partition+1)
	}))
	eventually(t, "the rest stored", func() bool { return second.total() == 20 })
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	for p := range int32(2) {
		for o := range int64(1010) {
			want := 0
			if o >= 1000 {
				want = 1
			}
			if second.stored[p][o] != want {
				t.Fatalf("%d/%d stored %d times", p, o, second.stored[p][o])
			}
		}
	}
	for _, f := range second.faults {
		t.Error(f)
	}
	if got := m.metric("andon_ingest_records_total"); got != 20+100+200 {
		t.Errorf("%v records handled, want 320", got)
	}
}
