package console

import (
	"bytes"
	"math"
	"strconv"
	"sync"
	"time"
)

// rateSpan is what a rate is averaged over: the sink writes in bursts of a second or so, and a number that jumps cannot be read. Quantiles need
// more observations to stand still.
const (
	rateSpan     = 5 * time.Second
	quantileSpan = 15 * time.Second
)

// pipelineFields and partFields name the numbers of a sample in order. Rates are per second, times in seconds, sizes in bytes.
var (
	pipelineFields = []string{"records", "bytes", "rejected", "lag", "rows", "late", "duplicates", "windows", "scores", "p50", "p99", "assets",
		"records_total", "scores_total", "dead_total"}
	partFields = []string{"stored", "insert_p50", "insert_p99", "insert_errors_total", "queue_p99", "compute_p50", "batch", "inflight", "disk",
		"memory", "cpu", "clients", "dropped", "dead", "trained", "energy"}
)

// line samples the metrics and keeps the recent past, encoded once for all who look.
type line struct {
	mu   sync.RWMutex
	ring [][]byte
	// next is the index that the next sample will have; the ring holds the samples before it.
	next uint64
	// facts is the status with what goes with it; version counts its changes.
	facts   []byte
	version uint64
}

func newLine(history, every time.Duration) *line {
	return &line{ring: make([][]byte, max(int(history/every), 1))}
}

func (l *line) add(sample, facts []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.next%uint64(len(l.ring))] = sample
	l.next++
	if !bytes.Equal(facts, l.facts) {
		l.facts = facts
		l.version++
	}
}

// since returns the samples from index on that are still kept, how many are not, and the next index.
func (l *line) since(index uint64) (samples [][]byte, lost, next uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	first := uint64(0)
	if l.next > uint64(len(l.ring)) {
		first = l.next - uint64(len(l.ring))
	}
	if index < first {
		lost, index = first-index, first
	}
	for i := index; i < l.next; i++ {
		samples = append(samples, l.ring[i%uint64(len(l.ring))])
	}
	return samples, lost, l.next
}

// status returns the facts if they have changed since the version.
func (l *line) status(version uint64) ([]byte, uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.version == version {
		return nil, version
	}
	return l.facts, l.version
}

func (l *line) at() (next, version uint64) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.next, l.version
}

// sampler turns scrapes into samples.
type sampler struct {
	past []*scrape
}

// sample takes in a scrape and returns what the line did lately as JSON: {"t":ms,"p":{pipeline:[numbers]},"a":[numbers]}.
func (s *sampler) sample(now *scrape, pipelines []Pipeline) []byte {
	s.past = append(s.past, now)
	for len(s.past) > 1 && now.at.Sub(s.past[1].at) >= quantileSpan {
		s.past = s.past[1:]
	}
	then := s.past[0]
	for _, p := range s.past {
		if now.at.Sub(p.at) >= rateSpan {
			then = p
		}
	}
	old := s.past[0]
	seconds := now.at.Sub(then.at).Seconds()
	rate := func(name, pipeline string, kinds ...string) float64 {
		if seconds <= 0 {
			return 0
		}
		return max(0, now.sum(name, pipeline, kinds...)-then.sum(name, pipeline, kinds...)) / seconds
	}
	recent := func(name, pipeline string) *histogram {
		return now.histogram(name, pipeline).minus(old.histogram(name, pipeline))
	}
	gauge := func(name string) float64 {
		if !now.has(name, "") {
			return math.NaN()
		}
		return now.sum(name, "")
	}

	js := append([]byte(`{"t":`), strconv.AppendInt(nil, now.at.UnixMilli(), 10)...)
	js = append(js, `,"p":{`...)
	for i, p := range pipelines {
		if i > 0 {
			js = append(js, ',')
		}
		js = append(js, mustJSON(p.Name)...)
		js = append(js, ':')
		latency := recent("andon_pipeline_latency_seconds", p.Name)
		if latency == nil {
			latency = recent("andon_scorer_score_latency_seconds", p.Name)
		}
		js = appendNumbers(js,
			rate("andon_ingest_records_total", p.Name),
			rate("andon_ingest_bytes_total", p.Name),
			rate("andon_ingest_rejected_total", p.Name),
			now.sum("andon_ingest_lag_records", p.Name),
			rate("andon_features_rows_total", p.Name, "ok"),
			rate("andon_features_rows_total", p.Name, "late", "future", "ancient"),
			rate("andon_features_rows_total", p.Name, "duplicate"),
			rate("andon_features_windows_total", p.Name),
			rate("andon_scorer_scores_total", p.Name)+rate("andon_detector_scores_total", p.Name),
			latency.quantile(0.5),
			latency.quantile(0.99),
			now.sum("andon_features_assets", p.Name),
			now.sum("andon_ingest_records_total", p.Name),
			now.sum("andon_scorer_scores_total", p.Name)+now.sum("andon_detector_scores_total", p.Name),
			now.dead(p.Name),
		)
	}
	inserts := recent("andon_clickhouse_insert_seconds", "")
	dead := 0.0
	if seconds > 0 {
		dead = max(0, now.dead("")-then.dead("")) / seconds
	}
	js = append(js, `},"a":`...)
	js = appendNumbers(js,
		rate("andon_clickhouse_rows_total", ""),
		inserts.quantile(0.5),
		inserts.quantile(0.99),
		now.sum("andon_clickhouse_insert_errors_total", ""),
		recent("andon_scorer_queue_seconds", "").quantile(0.99),
		recent("andon_scorer_compute_seconds", "").quantile(0.5),
		recent("andon_scorer_batch_size", "").mean(),
		gauge("andon_ingest_inflight_bytes"),
		gauge("andon_broker_disk_bytes"),
		gauge("process_resident_memory_bytes"),
		rate("process_cpu_seconds_total", ""),
		gauge("andon_console_clients"),
		rate("andon_console_watch_dropped_total", ""),
		dead,
		now.sum("andon_trainer_rows_per_second", ""),
		gauge("andon_gpu_energy_per_1000_scores_joules"),
	)
	return append(js, '}')
}

// deadLetters counts records that ended as dead letters, whatever the reason, since they were stored.
const deadLetters = "andon_pipeline_dead_letters_total"

func (s *scrape) dead(pipeline string) float64 { return s.sum(deadLetters, pipeline) }

// reasons returns the dead letters of each pipeline by reason.
func (s *scrape) reasons() map[string]map[string]float64 {
	out := map[string]map[string]float64{}
	for k, v := range s.sums {
		if v == 0 || k.pipeline == "" || k.name != deadLetters {
			continue
		}
		if out[k.pipeline] == nil {
			out[k.pipeline] = map[string]float64{}
		}
		out[k.pipeline][k.kind] += v
	}
	return out
}

func appendNumbers(js []byte, numbers ...float64) []byte {
	js = append(js, '[')
	for i, n := range numbers {
		if i > 0 {
			js = append(js, ',')
		}
		js = appendNumber(js, n, 4)
	}
	return append(js, ']')
}
