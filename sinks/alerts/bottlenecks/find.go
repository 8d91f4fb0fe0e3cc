package bottlenecks

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"andon/event"
)

// easier is the part of a threshold below which what was found is well again.
const easier = 0.8

// find compares two samples.
func (w *Watch) find(now, then *sample) (all []finding) {
	c := &w.cfg
	seconds := now.at.Sub(then.at).Seconds()
	if seconds <= 0 {
		return nil
	}
	over := func(id string, value, threshold float64) bool {
		if threshold == 0 {
			return false
		}
		name := event.AlertBottleneck + "/" + id
		if w.where != "" {
			name += "/" + w.where
		}
		if known := w.causes[name]; known != nil && known.told {
			threshold *= easier
		}
		return value >= threshold
	}
	grown := func(name, pipeline string) float64 { return max(0, now.sum(name, pipeline)-then.sum(name, pipeline)) }
	add := func(id, pipeline, severity, title, detail string, args ...any) {
		all = append(all, finding{id, pipeline, severity, title, fmt.Sprintf(detail, args...)})
	}
	for _, p := range now.pipelines() {
		lag, before := now.sum("andon_ingest_lag_records", p), then.sum("andon_ingest_lag_records", p)
		if id := "lag/" + p; over(id, lag, c.Lag) && (lag >= before || w.toldOf(id)) {
			add(id, p, event.SeverityWarning, p+" lags behind its topic",
				"It is %.0f records behind and was %.0f; it reads %.0f a second. Look at the line for the stage that holds it up: give it more partitions and replicas, a faster model, or ClickHouse more writers (clickhouse.writers).",
				lag, before, grown("andon_ingest_records_total", p)/seconds)
		}
		if q, n := now.quantile("andon_pipeline_latency_seconds", p, then); n >= minimum && over("latency/"+p, q, c.Latency.Seconds()) {
			add("latency/"+p, p, event.SeverityWarning, p+" gives its verdicts late",
				"The 99th percentile from a record's arrival to its verdict is %v, more than %v. A larger model or a busy machine: look at the scorer's queue, scorer.workers and the lag.", duration(q), c.Latency)
		}
		records, dead := grown("andon_ingest_records_total", p), grown("andon_pipeline_dead_letters_total", p)
		if all := max(records, dead); all >= minimum && over("dead-letters/"+p, dead/all, c.DeadLetters) {
			add("dead-letters/"+p, p, event.SeverityWarning, "records of "+p+" cannot be used",
				"%.0f of %.0f records became dead letters in %v. andon dlq list --pipeline %s tells why; mend the producer or the pipeline's source, then send them again with andon dlq replay.", dead, all, now.at.Sub(then.at).Round(time.Second), p)
		}
		// Of frames that came before there was a model nothing was lost: they are kept, labelled and learned from.
		of := func(status string) float64 {
			const name = "andon_vision_frames_total"
			return max(0, now.kind(name, p, status)-then.kind(name, p, status))
		}
		frames := grown("andon_vision_frames_total", p) - of(event.SightNoJudge)
		lost := frames - of(event.SightScored)
		if frames >= 10 && over("frames/"+p, lost/frames, c.FramesLost) {
			add("frames/"+p, p, event.SeverityWarning, "frames of "+p+" are not looked at",
				"%.0f of %.0f frames were dropped in %v: too late or too many. Send fewer frames a second, a smaller model, or run it on a GPU (scorer.provider: cuda).", lost, frames, now.at.Sub(then.at).Round(time.Second))
		}
	}
	if q, n := now.quantile("andon_scorer_queue_seconds", "", then); n >= minimum && over("scorer", q, c.ScorerQueue.Seconds()) {
		add("scorer", "", event.SeverityWarning, "the scorer is saturated",
			"The 99th percentile of the wait for a run is %v, more than %v. Give it more workers (scorer.workers), another replica, or a GPU (scorer.provider: cuda).", duration(q), c.ScorerQueue)
	}
	for _, device := range slices.Sorted(maps.Keys(now.throttled)) {
		if reason := now.throttled[device]; c.Throttled && reason != "" {
			add("gpu/"+device, "", event.SeverityWarning, "the clocks of GPU "+device+" are held back", "By %s. Look after its cooling and its power limit (nvidia-smi -q -d PERFORMANCE).", reason)
		}
	}
	// The less there is free, the nearer to the threshold.
	if free := float64(now.free); w.free != nil && c.DiskFree > 0 && (free < float64(c.DiskFree) || w.toldOf("disk") && free < float64(c.DiskFree)/easier) {
		add("disk", "", event.SeverityCritical, "the disk of the data folder is nearly full",
			"%d MiB are free, less than %s. Shorten clickhouse.retention, lower broker.max_bytes or evidence's bounds, or give it more room; the embedded broker refuses records below broker.min_free.", now.free>>20, c.DiskFree)
	}
	if n := grown("andon_clickhouse_insert_errors_total", "") * 60 / seconds; over("clickhouse", n, c.InsertErrors) {
		add("clickhouse", "", event.SeverityCritical, "ClickHouse does not take inserts",
			"%.1f tries a minute fail. Results wait, and no offset is committed before they are stored: nothing is lost. The log and andon doctor tell why.", n)
	}
	if n := grown("andon_console_watch_dropped_total", "") / seconds; over("watch", n, c.WatchDropped) {
		add("watch", "", event.SeverityInfo, "the page does not show all that flows", "%.0f rows and scores a second are not shown live; they are stored all the same. console.watch_rows raises the bound.", n)
	}
	return all
}

// minimum is how many observations make a share or a quantile.
const minimum = 20

func (w *Watch) toldOf(id string) bool {
	name := event.AlertBottleneck + "/" + id
	if w.where != "" {
		name += "/" + w.where
	}
	c := w.causes[name]
	return c != nil && c.told
}

func duration(seconds float64) time.Duration {
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond)
}
