package main

import (
	"context"
	"slices"
	"sync"

	"andon/event"
	"andon/sinks/evidence"
)

// While a pipeline has no champion the trainer asks every second what there is to learn from. Labels are read for that only when their mark has changed.

// marker tells whether labels have changed; see clickhouse.Store.
type marker interface {
	LabelsMark(ctx context.Context) (string, error)
}

// remembered keeps answers that follow from the labels alone, until there are others. Safe for concurrent use; who asks the same at once may ask twice.
type remembered[K comparable, V any] struct {
	mu   sync.Mutex
	mark string
	of   map[K]V
}

// get returns the answer to a question, asked anew where the labels have changed; keep tells whether an answer is small enough to be kept.
func (r *remembered[K, V]) get(ctx context.Context, m marker, key K, keep func(V) bool, ask func() (V, error)) (V, error) {
	mark, err := m.LabelsMark(ctx) // before the answer, so that what comes meanwhile is asked for again
	if err != nil {
		var none V
		return none, err
	}
	r.mu.Lock()
	if r.mark != mark {
		r.mark, r.of = mark, map[K]V{}
	}
	v, ok := r.of[key]
	r.mu.Unlock()
	if ok {
		return v, nil
	}
	if v, err = ask(); err != nil || !keep(v) {
		return v, err
	}
	r.mu.Lock()
	if r.mark == mark && len(r.of) < maxRemembered {
		r.of[key] = v
	}
	r.mu.Unlock()
	return v, nil
}

const (
	// maxRemembered is how many answers are kept: a few a pipeline.
	maxRemembered = 1000
	// maxFailures is how many failures of a pipeline are kept: a few megabytes.
	maxFailures = 10_000
)

// moments are when a camera's frames are labelled, in microseconds: of single frames, sorted, and from and until of stretches.
type moments struct {
	points    []int64
	stretches [][2]int64
}

// lessonMemory is what is remembered of what there is to learn from.
type lessonMemory struct {
	failures remembered[string, []event.Label]
	moments  remembered[string, map[string]*moments]
}

// remember returns a pipeline's labels. Failures, which are asked for over and over, are remembered: they are not the caller's.
func (l *lessons) remember(ctx context.Context, pipeline, kind string) ([]event.Label, error) {
	if kind != event.KindFailure {
		return l.Store.Labels(ctx, pipeline, kind)
	}
	return l.memory.failures.get(ctx, l.Store, pipeline, func(v []event.Label) bool { return len(v) <= maxFailures }, func() ([]event.Label, error) { return l.Store.Labels(ctx, pipeline, kind) })
}

// labelledMoments says of which frames there are labels, by camera.
func (l *lessons) labelledMoments(ctx context.Context, pipeline string) (map[string]*moments, error) {
	return l.memory.moments.get(ctx, l.Store, pipeline, func(map[string]*moments) bool { return true }, func() (map[string]*moments, error) {
		labels, err := l.Store.Labels(ctx, pipeline, "")
		if err != nil {
			return nil, err
		}
		of := map[string]*moments{}
		for i := range labels {
			x := &labels[i]
			m := of[x.Asset]
			if m == nil {
				m = &moments{}
				of[x.Asset] = m
			}
			if x.Until > x.Time {
				m.stretches = append(m.stretches, [2]int64{x.Time, x.Until})
			} else {
				m.points = append(m.points, x.Time/1000)
			}
		}
		for _, m := range of {
			slices.Sort(m.points)
			m.points = slices.Clip(slices.Compact(m.points))
		}
		return of, nil
	})
}

// CountLabelledFrames is of trainer.Frames: how many kept frames there are that labels speak of.
func (l *lessons) CountLabelledFrames(ctx context.Context, pipeline string) (n int, err error) {
	of, err := l.labelledMoments(ctx, pipeline)
	if err != nil || len(of) == 0 {
		return 0, err
	}
	seen, err := l.looking()
	if err != nil {
		return 0, err
	}
	for _, e := range seen.kept.List(evidence.Filter{Pipeline: pipeline}) {
		m := of[e.Camera]
		if m == nil {
			continue
		}
		_, is := slices.BinarySearch(m.points, e.Captured/1000)
		if is || slices.ContainsFunc(m.stretches, func(s [2]int64) bool { return s[0] <= e.Captured && e.Captured < s[1] }) {
			n++
		}
	}
	return n, nil
}
