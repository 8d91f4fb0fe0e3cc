package processors

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"andon/event"
)

// picky is a Sink that refuses the readings of some offsets, as ClickHouse does.
type picky struct {
	refuse map[int64]string
	stored []event.Block
}

type refusal map[int64]string

func (r refusal) Error() string                    { return fmt.Sprintf("refused %d", len(r)) }
func (r refusal) RefusedOffsets() map[int64]string { return r }
func (r refusal) Remove(b *event.Block) {
	old := b.Readings
	b.Readings = event.Readings{Signals: old.Signals}
	n := len(old.Signals)
	for i := range old.Asset {
		if _, ok := r[old.Offset[i]]; !ok {
			b.Readings.Append(&event.Row{Asset: old.Asset[i], Time: old.Time[i], Offset: old.Offset[i], Values: old.Values[i*n : (i+1)*n]}, old.Status[i])
		}
	}
}

func (p *picky) Write(_ context.Context, b *event.Block) error {
	bad := refusal{}
	for _, o := range b.Readings.Offset {
		if why, ok := p.refuse[o]; ok {
			bad[o] = why
		}
	}
	if len(bad) > 0 {
		return bad
	}
	c := *b
	c.Readings.Offset = slices.Clone(b.Readings.Offset)
	c.DeadLetters = slices.Clone(b.DeadLetters)
	p.stored = append(p.stored, c)
	return nil
}

type letters struct{ offsets []int64 }

func (l *letters) Publish(_ context.Context, b *event.Block) error {
	for _, d := range b.DeadLetters {
		l.offsets = append(l.offsets, d.Offset)
	}
	return nil
}

// Rows that the store will never take are set aside with their bytes and its words; the rest of the block is stored, and each letter published once.
func TestRefusedRowsAreSetAside(t *testing.T) {
	sink, out := &picky{refuse: map[int64]string{3: "readings: too odd", 5: "readings: odder"}}, &letters{}
	cfg := Default()
	cfg.Pipeline, cfg.Signals = "p", []string{"a"}
	metrics := NewMetrics(prometheus.NewRegistry())
	line, err := New(cfg, Judge{}, Outlets{Sink: sink, Publisher: out}, metrics, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	committed := int64(0)
	p, _, err := line.Open(t.Context(), Assignment{Topic: "t", Commit: func(_ context.Context, next int64, _ string) error { committed = next; return nil },
		Read: func(_ context.Context, offsets []int64) (rs []event.Record, err error) {
			for _, o := range offsets {
				rs = append(rs, event.Record{Position: event.Position{Topic: "t", Offset: o}, Value: fmt.Appendf(nil, "bytes of %d", o)})
			}
			return rs, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	b := event.Batch{Topic: "t", Next: 8}
	for o := range int64(8) {
		if o == 6 {
			b.Rejects = append(b.Rejects, event.DeadLetter{Record: event.Record{Position: event.Position{Topic: "t", Offset: o}}, Reason: event.ReasonMalformed})
			continue
		}
		b.Rows = append(b.Rows, event.Row{Offset: o, Asset: "x", Time: o * 1e9, Values: []float64{1}})
	}
	if err := p.Handle(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(sink.stored) != 1 || committed != 8 {
		t.Fatalf("%d blocks stored, committed %d", len(sink.stored), committed)
	}
	got := sink.stored[0]
	if want := []int64{0, 1, 2, 4, 7}; !slices.Equal(got.Readings.Offset, want) {
		t.Errorf("readings of %v, want %v", got.Readings.Offset, want)
	}
	var said []string
	for _, d := range got.DeadLetters {
		said = append(said, fmt.Sprintf("%d %s %s %s", d.Offset, d.Reason, d.Detail, d.Value))
	}
	if want := []string{"3 refused readings: too odd bytes of 3", "5 refused readings: odder bytes of 5", "6 malformed  "}; !slices.Equal(said, want) {
		t.Errorf("dead letters %q, want %q", said, want)
	}
	if want := []int64{6, 3, 5}; !slices.Equal(out.offsets, want) {
		t.Errorf("published %v, want %v", out.offsets, want)
	}
	for reason, want := range map[string]float64{event.ReasonRefused: 2, event.ReasonMalformed: 1, event.ReasonLate: 0} {
		if n := counted(t, metrics.letters.WithLabelValues("p", reason)); n != want {
			t.Errorf("%v letters counted as %s, want %v", n, reason, want)
		}
	}
}

func counted(t *testing.T, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}
