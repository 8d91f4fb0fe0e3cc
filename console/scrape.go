package console

import (
	"math"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// scrape is the line's metrics at one moment, summed over every label but pipeline and kind.
type scrape struct {
	at    time.Time
	sums  map[seriesKey]float64
	hists map[seriesKey]*histogram
}

// seriesKey names a series. Kind is the label that tells the members of a family apart: reason, status or table.
type seriesKey struct{ name, pipeline, kind string }

// histogram holds cumulative counts by upper bound.
type histogram struct {
	bounds []float64
	counts []float64
	count  float64
	sum    float64
}

// gather reads the metrics. A gatherer that fails half-way still gives what it could, so its error is left to /metrics, which shows it.
func gather(g prometheus.Gatherer, now time.Time) *scrape {
	s := &scrape{at: now, sums: map[seriesKey]float64{}, hists: map[seriesKey]*histogram{}}
	families, _ := g.Gather()
	for _, f := range families {
		name := f.GetName()
		if !strings.HasPrefix(name, "andon_") && !strings.HasPrefix(name, "process_") {
			continue
		}
		for _, m := range f.GetMetric() {
			k := seriesKey{name: name}
			for _, l := range m.GetLabel() {
				switch l.GetName() {
				case "pipeline":
					k.pipeline = l.GetValue()
				case "reason", "status", "table", "kind":
					k.kind = l.GetValue()
				}
			}
			switch {
			case m.Counter != nil:
				s.sums[k] += m.Counter.GetValue()
			case m.Gauge != nil:
				s.sums[k] += m.Gauge.GetValue()
			case m.Histogram != nil:
				s.addHistogram(k, m.Histogram)
			}
		}
	}
	return s
}

func (s *scrape) addHistogram(k seriesKey, m *dto.Histogram) {
	h := s.hists[k]
	if h == nil {
		h = &histogram{}
		for _, b := range m.GetBucket() {
			h.bounds = append(h.bounds, b.GetUpperBound())
		}
		h.counts = make([]float64, len(h.bounds))
		s.hists[k] = h
	}
	if len(m.GetBucket()) != len(h.bounds) {
		return
	}
	for i, b := range m.GetBucket() {
		h.counts[i] += float64(b.GetCumulativeCount())
	}
	h.count += float64(m.GetSampleCount())
	h.sum += m.GetSampleSum()
}

// sum adds up a family's series of one pipeline ("" for all) and the kinds given (none for all).
func (s *scrape) sum(name, pipeline string, kinds ...string) float64 {
	total := 0.0
	for k, v := range s.sums {
		if k.name != name || pipeline != "" && k.pipeline != pipeline {
			continue
		}
		wanted := len(kinds) == 0
		for _, kind := range kinds {
			wanted = wanted || k.kind == kind
		}
		if wanted {
			total += v
		}
	}
	return total
}

// has reports whether the pipeline, or any, has a series of that name.
func (s *scrape) has(name, pipeline string) bool {
	for k := range s.sums {
		if k.name == name && (pipeline == "" || k.pipeline == pipeline) {
			return true
		}
	}
	return false
}

// histogram returns a family's observations of one pipeline ("" for all), nil where there is none.
func (s *scrape) histogram(name, pipeline string) *histogram {
	var total *histogram
	for k, h := range s.hists {
		if k.name != name || pipeline != "" && k.pipeline != pipeline {
			continue
		}
		if total == nil {
			total = &histogram{bounds: h.bounds, counts: append([]float64(nil), h.counts...), count: h.count, sum: h.sum}
		} else if len(total.bounds) == len(h.bounds) {
			for i := range h.counts {
				total.counts[i] += h.counts[i]
			}
			total.count += h.count
			total.sum += h.sum
		}
	}
	return total
}

// minus returns the observations made between an earlier scrape and h.
func (h *histogram) minus(earlier *histogram) *histogram {
	if h == nil || earlier == nil || len(h.bounds) != len(earlier.bounds) {
		return h
	}
	d := &histogram{bounds: h.bounds, counts: make([]float64, len(h.counts)), count: h.count - earlier.count, sum: h.sum - earlier.sum}
	for i := range d.counts {
		d.counts[i] = h.counts[i] - earlier.counts[i]
	}
	return d
}

// mean returns the mean observation, NaN where there is none.
func (h *histogram) mean() float64 {
	if h == nil || h.count <= 0 {
		return math.NaN()
	}
	return h.sum / h.count
}

// quantile estimates as Prometheus's histogram_quantile does: linear inside the bucket, from zero in the first one, the highest finite bound in the last.
func (h *histogram) quantile(q float64) float64 {
	if h == nil || h.count <= 0 {
		return math.NaN()
	}
	rank, below, lower := q*h.count, 0.0, 0.0
	for i, bound := range h.bounds {
		if math.IsInf(bound, 1) {
			break
		}
		if c := h.counts[i]; c >= rank {
			if c == below {
				return bound
			}
			return lower + (bound-lower)*(rank-below)/(c-below)
		}
		below, lower = h.counts[i], bound
	}
	return lower
}
