package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/event"
)

// reread reads records of one partition again by their offsets, in ascending order, with a client of its own: for the few that ClickHouse refuses, long after the
// fetch that they came in was let go.
func reread(ctx context.Context, cfg Config, topic string, id int32, offsets []int64, log *slog.Logger) ([]event.Record, error) {
	if len(offsets) == 0 {
		return nil, nil
	}
	opts, err := connection(cfg, log)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {id: kgo.NewOffset().At(offsets[0])}}))...)
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	p := &partition{topic: topic, id: id}
	var out []event.Record
	for len(out) < len(offsets) {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("read %s again: %w", event.Position{Topic: topic, Partition: id, Offset: offsets[len(out)]}, err)
		}
		for _, e := range fetches.Errors() {
			return nil, fmt.Errorf("read %s again: %w", event.Position{Topic: topic, Partition: id, Offset: offsets[len(out)]}, e.Err)
		}
		for r := range fetches.RecordsAll() {
			if len(out) == len(offsets) {
				break
			}
			if want := offsets[len(out)]; r.Offset > want {
				return nil, fmt.Errorf("read %s again: the log no longer holds it", event.Position{Topic: topic, Partition: id, Offset: want})
			} else if r.Offset == want {
				out = append(out, p.copy(r))
			}
		}
	}
	return out, nil
}
