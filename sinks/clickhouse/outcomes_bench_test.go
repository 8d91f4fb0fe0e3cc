package clickhouse

import (
	"fmt"
	"testing"
	"time"

	"andon/event"
)

// BenchmarkSettle settles a million windows of 200 assets, each of which failed once, in one statement, and reads a part of what came of it: outcomes/s each.
func BenchmarkSettle(b *testing.B) {
	s := sharedStore(b)
	const n, assets = 1_000_000, 200
	if err := s.owner.Exec(b.Context(), fmt.Sprintf(`INSERT INTO scores (pipeline, asset, start, end, value, risk, version, scored_at, _topic, _partition, _offset)
		SELECT 'settled', toString(number %% %[2]d), fromUnixTimestamp64Micro(1577836800000000 + intDiv(number, %[2]d) * 60000000 - 1800000000, 'UTC'),
		fromUnixTimestamp64Micro(1577836800000000 + intDiv(number, %[2]d) * 60000000, 'UTC'), 50, 0.1, 'v', now64(6), 't', 0, number FROM numbers(%[1]d)`, n, assets)); err != nil {
		b.Fatal(err)
	}
	last := origin + n/assets*int64(time.Minute)
	for b.Loop() {
		w := &event.Settling{Pipeline: "settled", Task: "remaining-life", Grid: int64(time.Minute), Cap: 125, Horizon: 30, Settled: time.Now().UnixNano()}
		for a := range assets {
			w.Assets, w.LookFrom, w.LookTo, w.MatureFrom, w.MatureTo = append(w.Assets, fmt.Sprint(a)), append(w.LookFrom, 0), append(w.LookTo, last), append(w.MatureFrom, 0), append(w.MatureTo, 0)
			w.RunAsset, w.RunFrom, w.RunTo = append(w.RunAsset, fmt.Sprint(a)), append(w.RunFrom, last), append(w.RunTo, last)
			w.RunKind, w.RunHappened, w.RunWeight = append(w.RunKind, event.KindFailure), append(w.RunHappened, true), append(w.RunWeight, 1)
		}
		begin := time.Now()
		if _, err := s.SettleOutcomes(b.Context(), w); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(n/time.Since(begin).Seconds(), "settled/s")
		begin = time.Now()
		all, _, err := s.Outcomes(b.Context(), "settled", nil, w.Settled-1, 100_000)
		if err != nil || len(all) < 100_000 {
			b.Fatal(len(all), err)
		}
		b.ReportMetric(float64(len(all))/time.Since(begin).Seconds(), "read/s")
	}
}

// BenchmarkTruth asks what the page and the keeper ask over and over, of a million predictions over a hundred days, all settled, and 200,000 labels: milliseconds each. speedup is how much faster the
// marks tell that no label has come than the labels that count are read.
func BenchmarkTruth(b *testing.B) {
	s := sharedStore(b)
	const n = 1_000_000
	for _, sql := range []string{
		fmt.Sprintf(`INSERT INTO scores (pipeline, asset, start, end, value, risk, version, scored_at, _topic, _partition, _offset)
			SELECT 'judged', toString(number %% 50), fromUnixTimestamp64Micro(1577836800000000 + intDiv(number, 50) * 432000000 - 1800000000, 'UTC'),
			fromUnixTimestamp64Micro(1577836800000000 + intDiv(number, 50) * 432000000, 'UTC'), 50, rand() / 4294967295, 'v', now64(6), 't', 0, number FROM numbers(%d)`, n),
		`INSERT INTO outcomes (pipeline, asset, start, end, version, role, value, risk, truth, cap, happened, loss, risk_loss, weight, by, scored_at, settled)
			SELECT pipeline, asset, start, end, version, 'score', value, risk, 40, 125, cityHash64(end) % 2, .1, .1, 1, 'label', scored_at, now64(6) FROM scores WHERE pipeline = 'judged'`,
		`INSERT INTO labels (pipeline, asset, time, label, told, _topic, _partition, _offset)
			SELECT 'judged', toString(number % 50), fromUnixTimestamp64Micro(1577836800000000 + intDiv(number, 50) * 2160000000, 'UTC'), 'anomaly', now64(6), 'labels', 0, number FROM numbers(200000)`,
	} {
		if err := s.owner.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	took := func(name, sql string) time.Duration {
		begin := time.Now()
		if _, err := s.QueryParams(b.Context(), sql, nil, 1000); err != nil {
			b.Fatal(err)
		}
		d := time.Since(begin)
		b.ReportMetric(float64(d.Microseconds())/1000, name+"-ms")
		return d
	}
	for b.Loop() {
		took("accuracy", "SELECT * FROM accuracy WHERE pipeline = 'judged'")
		took("accuracy-all", "SELECT * FROM accuracy_days WHERE pipeline = 'judged'")
		took("accuracy-api", "SELECT * FROM accuracy_days WHERE pipeline = 'judged' AND day >= '2020-03-11'")
		took("coverage", "SELECT * FROM label_coverage WHERE pipeline = 'judged'")
		took("coverage-all", "SELECT * FROM label_coverage_days WHERE pipeline = 'judged'")
		took("coverage-api", "SELECT * FROM label_coverage_days WHERE pipeline = 'judged' AND day >= '2020-03-11'")
		labels := took("labels", "SELECT count(), max(told) FROM truth_labels WHERE pipeline = 'judged'")
		begin := time.Now()
		const marks = 20
		for range marks {
			if _, err := s.LabelsMark(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		d := time.Since(begin) / marks
		b.ReportMetric(float64(d.Microseconds())/1000, "mark-ms")
		b.ReportMetric(labels.Seconds()/d.Seconds(), "speedup")
	}
}
