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
