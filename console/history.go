package console

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"andon/event"
)

// history reads what the store remembers. Its answers are bounded by points, however long the range.
type history struct {
	store   Querier
	slots   chan struct{}
	timeout time.Duration
	metrics *metrics
	memo    memo
}

func newHistory(store Querier, atOnce int, timeout time.Duration, m *metrics) *history {
	return &history{store: store, slots: make(chan struct{}, atOnce), timeout: timeout, metrics: m}
}

// query asks the store, a few questions at a time: the others wait, so that many pages opened at once do not weigh on the line.
func (h *history) query(ctx context.Context, sql string, params map[string]string, limit int) (*event.Table, error) {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("the store is busy with other queries for longer than console.query_timeout (%v): try again, or raise console.queries: %w", h.timeout, ctx.Err())
	}
	defer func() { <-h.slots }()
	t, err := h.store.QueryParams(ctx, sql, params, limit)
	h.metrics.query(err)
	return t, err
}

// series is what is remembered of one asset in a range of event time.
type series struct {
	rows   points
	scores points
	// from is where the range begins; step is the milliseconds that one point stands for, 0 where the points are the readings themselves.
	from, step int64
}

// endOfTime is a bound for ranges that have none, in milliseconds.
const endOfTime = math.MaxInt64 / int64(time.Millisecond)

// readSeries reads an asset's rows and scores in [from, to), milliseconds of event time, as at most about n points each. A negative from counts
// back from the newest reading.
func (h *history) readSeries(ctx context.Context, p Pipeline, name string, from, to int64, n int) (*series, error) {
	params := map[string]string{"pipeline": p.Name, "asset": name, "to": strconv.FormatInt(to, 10), "signals": strings.Join(p.Signals, ",")}
	if from < 0 {
		t, err := h.query(ctx, assetNewest, params, 1)
		if err != nil {
			return nil, fmt.Errorf("read history of %s %s: %w", p.Name, name, err)
		}
		if len(t.Rows) == 1 {
			from = max(asInt(t.Rows[0][0])+from, 0)
		}
		from = max(from, 0)
	}
	params["from"] = strconv.FormatInt(from, 10)
	span, err := h.query(ctx, assetSpan, params, 1)
	if err != nil {
		return nil, fmt.Errorf("read history of %s %s: %w", p.Name, name, err)
	}
	s := &series{rows: newPoints(len(p.Signals)), scores: newPoints(2), from: from}
	rowsSQL, scoresSQL := assetRows, assetScores
	if len(span.Rows) == 1 && asInt(span.Rows[0][2]) > int64(n) {
		first, last := asInt(span.Rows[0][0]), asInt(span.Rows[0][1])
		s.step = thinStep(first, last, p.Grid, n)
		params["step"] = strconv.FormatInt(s.step, 10)
		rowsSQL, scoresSQL = assetRowsThinned, assetScoresThinned
	}
	// Twice n: several scores may fall on one step of the rows, and more than that is not drawn.
	rows, err := h.query(ctx, rowsSQL, params, 2*n)
	if err != nil {
		return nil, fmt.Errorf("read history of %s %s: %w", p.Name, name, err)
	}
	for i := len(rows.Rows) - 1; i >= 0; i-- {
		r := rows.Rows[i]
		values := asFloats(r[1])
		floats := make([]float32, len(values))
		for j, v := range values {
			floats[j] = float32(v)
		}
		s.rows.add(float64(asInt(r[0])), floats...)
	}
	scores, err := h.query(ctx, scoresSQL, params, 2*n)
	if err != nil {
		return nil, fmt.Errorf("read history of %s %s: %w", p.Name, name, err)
	}
	for i := len(scores.Rows) - 1; i >= 0; i-- {
		r := scores.Rows[i]
		s.scores.add(float64(asInt(r[0])), float32(asFloat(r[1])), float32(asFloat(r[2])))
	}
	s.rows.sort()
	s.scores.sort()
	return s, nil
}

// thinStep returns the milliseconds that make n points of a range, a whole number of grid steps where that is longer.
func thinStep(first, last int64, grid time.Duration, n int) int64 {
	step := max(int64(math.Ceil(float64(last-first+1)/float64(n))), 1)
	if g := grid.Milliseconds(); g > 0 {
		step = (step + g - 1) / g * g
	}
	return step
}

// trendReach is how far back from the fleet's newest score trends are read, in trends.
const trendReach = 20

// newest reads each asset's newest score, after a few risks of before it: oldest first.
func (h *history) newest(ctx context.Context, p Pipeline, assets int) ([]event.Score, error) {
	params := map[string]string{"pipeline": p.Name, "points": strconv.Itoa(trendPoints)}
	t, err := h.query(ctx, newestScores, params, assets)
	if err != nil || len(t.Rows) == 0 {
		return nil, wrapNewest(p.Name, err)
	}
	whole := make([]event.Score, 0, len(t.Rows))
	for _, r := range t.Rows {
		whole = append(whole, event.Score{
			Asset: asText(r[0]), Start: asInt(r[1]), End: asInt(r[2]),
			Verdict: event.Verdict{Value: float32(asFloat(r[3])), Risk: float32(asFloat(r[4]))},
			Version: asText(r[5]), Latency: int64(asFloat(r[6])), ScoredAt: asInt(r[7]),
			Position: event.Position{Topic: asText(r[8]), Partition: int32(asInt(r[9])), Offset: asInt(r[10])},
		})
	}
	// Assets that fell silent have a trend too, unless that was long ago: scores are many.
	span := int64(trendPoints * p.Grid)
	from := max(whole[len(whole)-1].End, whole[0].End-trendReach*span) - span
	params["from"] = strconv.FormatInt(max(millis(from), 0), 10)
	if t, err = h.query(ctx, recentRisks, params, assets*trendPoints); err != nil {
		return nil, wrapNewest(p.Name, err)
	}
	list := make([]event.Score, 0, len(t.Rows)+len(whole))
	for i := len(t.Rows) - 1; i >= 0; i-- {
		r := t.Rows[i]
		list = append(list, event.Score{Asset: asText(r[0]), End: asInt(r[1]), Verdict: event.Verdict{Risk: float32(asFloat(r[2]))}})
	}
	return append(list, whole...), nil
}

func wrapNewest(pipeline string, err error) error {
	if err != nil {
		return fmt.Errorf("read newest scores of %s: %w", pipeline, err)
	}
	return nil
}

// trainings reads the steps of the newest runs in order of time.
func (h *history) trainings(ctx context.Context) ([]event.Training, error) {
	t, err := h.query(ctx, newestTrainings, map[string]string{"runs": strconv.Itoa(maxRuns)}, maxRuns*maxEpochs)
	if err != nil {
		return nil, fmt.Errorf("read trainings: %w", err)
	}
	list := make([]event.Training, 0, len(t.Rows))
	for _, r := range t.Rows {
		list = append(list, event.Training{
			Run: asText(r[0]), Pipeline: asText(r[1]), State: asText(r[2]), Epoch: int(asInt(r[3])), Epochs: int(asInt(r[4])),
			Loss: asFloat(r[5]), ValLoss: asFloat(r[6]), RowsPerSecond: asFloat(r[7]), Rows: int(asInt(r[8])),
			Elapsed: asInt(r[9]), Time: asInt(r[10]), Version: asText(r[11]), Detail: asText(r[12]),
			Worker: asText(r[13]), CPUSeconds: asFloat(r[14]), GPUSeconds: asFloat(r[15]), Joules: asFloat(r[16]), Energy: asText(r[17]),
		})
	}
	return list, nil
}
