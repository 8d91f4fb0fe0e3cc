package clickhouse

import (
	"context"
	"maps"
	"slices"

	"andon/event"
)

// WriteAlerts stores changes of alerts, once, trying again like Write.
func (s *Store) WriteAlerts(ctx context.Context, changes []event.MatterChange) error {
	c := changes
	f := &frame{rows: len(c)}
	f.micros("time", func(i int) int64 { return c[i].Matter.Changed.UnixNano() })
	f.words("what", func(i int) string { return c[i].What })
	f.texts("id", func(i int) string { return c[i].Matter.ID })
	f.words("pipeline", func(i int) string { return c[i].Matter.Pipeline })
	f.words("kind", func(i int) string { return c[i].Matter.Kind })
	f.words("severity", func(i int) string { return c[i].Matter.Severity })
	f.words("state", func(i int) string { return c[i].Matter.State })
	f.texts("title", func(i int) string { return c[i].Matter.Title })
	f.texts("detail", func(i int) string { return c[i].Matter.Detail })
	f.words("asset", func(i int) string { return c[i].Matter.Asset })
	f.wordMap("labels", func(i int) (all [][2]string) {
		l := c[i].Matter.Labels
		for _, name := range slices.Sorted(maps.Keys(l)) {
			all = append(all, [2]string{name, l[name]})
		}
		return all
	})
	f.texts("evidence", func(i int) string { return c[i].Matter.Evidence })
	f.micros("since", func(i int) int64 { return max(c[i].Matter.Since.UnixNano(), earliest) })
	f.micros("first", func(i int) int64 { return c[i].Matter.First.UnixNano() })
	f.texts("who", func(i int) string { return c[i].Who })
	f.texts("comment", func(i int) string { return c[i].Comment })
	return s.small(ctx, "alerts", f)
}

// WriteDeliveries stores tries to tell receivers of alerts.
func (s *Store) WriteDeliveries(ctx context.Context, tries []event.Delivery) error {
	f := &frame{rows: len(tries)}
	f.micros("time", func(i int) int64 { return tries[i].Time })
	f.words("receiver", func(i int) string { return tries[i].Receiver })
	f.texts("group_key", func(i int) string { return tries[i].Group })
	f.texts("notice", func(i int) string { return tries[i].Notice })
	f.textLists("ids", func(i int, put func(string)) {
		for _, id := range tries[i].Matters {
			put(id)
		}
	})
	each(f, "try", "UInt32", func(i int) uint32 { return uint32(tries[i].Try) })
	f.words("state", func(i int) string { return tries[i].State })
	each(f, "latency_ns", "Int64", func(i int) int64 { return tries[i].Latency })
	each(f, "age_ns", "Int64", func(i int) int64 { return tries[i].Age })
	f.texts("error", func(i int) string { return tries[i].Error })
	return s.small(ctx, "alert_deliveries", f)
}
