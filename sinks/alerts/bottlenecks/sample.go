package bottlenecks

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// sample is what the metrics were at one moment, summed over every label but these two.
type sample struct {
	at        time.Time
	free      uint64 // bytes on the data folder's disk
	sums      map[series]float64
	hists     map[series]map[float64]float64 // cumulative counts by upper bound
	throttled map[string]string              // by device: why
}

// series names one: status is the label of frames that says what became of them.
type series struct{ name, pipeline, status string }

func gather(g prometheus.Gatherer, now time.Time) (*sample, error) {
	families, err := g.Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	s := &sample{at: now, sums: map[series]float64{}, hists: map[series]map[float64]float64{}, throttled: map[string]string{}}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "andon_") {
			continue
		}
		for _, m := range f.GetMetric() {
			s.add(f.GetName(), m)
		}
	}
	return s, nil
}

func (s *sample) add(name string, m *dto.Metric) {
	labels := map[string]string{}
	for _, l := range m.GetLabel() {
		labels[l.GetName()] = l.GetValue()
	}
	k := series{name, labels["pipeline"], labels["status"]}
	switch {
	case m.Counter != nil:
		s.sums[k] += m.Counter.GetValue()
	case m.Gauge != nil:
		s.sums[k] += m.Gauge.GetValue()
		if name == "andon_gpu_throttled" && m.Gauge.GetValue() > 0 && labels["reason"] != "idle" {
			s.throttled[labels["device"]] = strings.TrimPrefix(s.throttled[labels["device"]]+", "+labels["reason"], ", ")
		}
	case m.Histogram != nil:
		h := s.hists[k]
		if h == nil {
			h = map[float64]float64{}
			s.hists[k] = h
		}
		for _, b := range m.Histogram.GetBucket() {
			h[b.GetUpperBound()] += float64(b.GetCumulativeCount())
		}
		h[math.Inf(1)] += float64(m.Histogram.GetSampleCount())
	}
}

// pipelines returns those that read records, sorted.
func (s *sample) pipelines() (all []string) {
	for k := range s.sums {
		if k.pipeline != "" && !slices.Contains(all, k.pipeline) {
			all = append(all, k.pipeline)
		}
	}
	slices.Sort(all)
	return all
}

// sum adds up a family's series of one pipeline, of all where it is empty.
func (s *sample) sum(name, pipeline string) (total float64) {
	for k, v := range s.sums {
		if k.name == name && (pipeline == "" || k.pipeline == pipeline) {
			total += v
		}
	}
	return total
}

// kind is sum of one status alone.
func (s *sample) kind(name, pipeline, status string) float64 {
	return s.sums[series{name, pipeline, status}]
}

// quantile returns the 99th percentile of what was observed since an earlier sample, at most the highest finite bound, and how many observations that is of.
func (s *sample) quantile(name, pipeline string, then *sample) (q, n float64) {
	counts := map[float64]float64{}
	add := func(of *sample, sign float64) {
		for k, h := range of.hists {
			if k.name == name && (pipeline == "" || k.pipeline == pipeline) {
				for bound, c := range h {
					counts[bound] += sign * c
				}
			}
		}
	}
	add(s, 1)
	add(then, -1)
	n = counts[math.Inf(1)]
	if n <= 0 {
		return 0, 0
	}
	bounds := make([]float64, 0, len(counts))
	for b := range counts {
		bounds = append(bounds, b)
	}
	slices.Sort(bounds)
	rank, below, lower := 0.99*n, 0.0, 0.0
	for _, b := range bounds {
		if math.IsInf(b, 1) {
			break
		}
		if c := counts[b]; c >= rank {
			if c == below {
				return b, n
			}
			return lower + (b-lower)*(rank-below)/(c-below), n
		}
		below, lower = counts[b], b
	}
	return lower, n
}
