package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"andon/ingest"
	"andon/processors"
	"andon/processors/features"
	"andon/sinks/kafka"
)

// job is what a pipeline does that is run in both ways.
type job struct {
	name  string
	what  string
	shape func(*processors.Config)
	// bare jobs end in ClickHouse: at least once is without intents and with tables that forget deduplication tokens. The others are at least once and exactly once
	// into an Apache Kafka, with intents and tokens for ClickHouse in both, as the product does.
	bare bool
}

// deliveryWindow makes a window of so many rows of an asset, which come an hour apart.
const deliveryWindow = 12 * time.Hour

var jobs = []*job{
	{name: "map", what: "Kafka to Kafka, readings published and not stored", shape: func(c *processors.Config) { c.Readings = processors.Readings{Publish: true} }},
	{name: "readings", what: "Kafka to Kafka and ClickHouse, readings published and stored", shape: func(c *processors.Config) { c.Readings.Publish = true }},
	{name: "windows", what: "Kafka to Kafka and ClickHouse, aggregates of 12 rows published and stored, readings stored", shape: func(c *processors.Config) {
		a := features.DefaultAggregate()
		a.Size = deliveryWindow
		c.Aggregate = &a
	}},
	{name: "store", what: "Kafka to ClickHouse, readings stored", shape: func(*processors.Config) {}, bare: true},
}

func findJobs(list string) (all []*job, err error) {
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(jobs, func(j *job) bool { return j.name == name })
		if i < 0 {
			return nil, fmt.Errorf("-delivery-jobs: %q is not one of map, readings, windows, store", name)
		}
		all = append(all, jobs[i])
	}
	return all, nil
}

// deliveryRound is a turn of each way; Speed and Frugality are exactly once by at least once.
type deliveryRound struct {
	Loose     deliveryCost `json:"at_least_once"`
	Once      deliveryCost `json:"exactly_once"`
	Speed     float64      `json:"records_per_s_ratio"`
	Frugality float64      `json:"records_per_cpu_s_ratio"`
	Load      string       `json:"load_average"`
}

type deliveryResult struct {
	Job    string          `json:"job"`
	What   string          `json:"what"`
	Rows   int             `json:"rows"`
	Bytes  int             `json:"bytes_a_row"`
	Flush  time.Duration   `json:"flush_ns"`
	Rounds []deliveryRound `json:"rounds"`
	// The medians over the rounds.
	Speed     float64 `json:"records_per_s_ratio"`
	Frugality float64 `json:"records_per_cpu_s_ratio"`
}

// priceGoal is the most that exactly once may take of at least once's records.
const priceGoal = 0.10

// delivery runs the jobs: those into Kafka beside one Apache Kafka, those into ClickHouse alone with the embedded broker.
func (c *config) delivery(ctx context.Context) (all []deliveryResult, err error) {
	for _, bare := range []bool{false, true} {
		var some []*job
		for _, j := range c.deliveryJobs {
			if j.bare == bare {
				some = append(some, j)
			}
		}
		if len(some) == 0 {
			continue
		}
		results, err := c.deliverAll(ctx, some, bare)
		if err != nil {
			return nil, err
		}
		all = append(all, results...)
	}
	return all, nil
}

// venue is where turns are made.
type venue struct {
	*house
	cluster *cluster // nil with the embedded broker
	owner   ch.Conn
	source  ingest.Source
	ends    map[int32]int64
	windows map[string]int    // by job, of its first turn
	dedup   map[string]string // deduplication windows by table, as the schema has them
	rows    int
}

func (c *config) deliverAll(ctx context.Context, some []*job, bare bool) (results []deliveryResult, err error) {
	l := load{Rows: c.deliveryRows, Assets: 1000, Signals: c.demo.Source.Signals[:ingestSignals], Bytes: rowBytes}
	topics := topicBytes(l.Rows, 2*l.Bytes)
	if !bare {
		topics = 0
	}
	h, err := c.open(ctx, topics)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	v := &venue{house: h, source: c.demo.Source, windows: map[string]int{}, rows: l.Rows}
	v.source.Signals = l.Signals
	if err := l.open(); err != nil {
		return nil, err
	}
	if bare {
		err = v.makeTopic(ctx, v.source.Topic, topics)
	} else {
		err = v.join(ctx, c.lib)
	}
	if err != nil {
		return nil, err
	}
	at := h.server.Endpoint()
	if v.owner, err = ch.Open(&ch.Options{Addr: []string{at.Native}, Auth: ch.Auth{Database: "andon", Username: at.Owner.User, Password: at.Owner.Password}}); err != nil {
		return nil, err
	}
	defer v.owner.Close()
	if v.dedup, err = dedupWindows(ctx, v.owner); err != nil {
		return nil, err
	}
	c.say("delivery: filling %s with %d rows", v.source.Topic, l.Rows)
	if err := h.fill(ctx, l, v.source.Topic, c.compression); err != nil {
		return nil, err
	}
	if v.ends, err = endsOf(ctx, h.at.Brokers, v.source.Topic, l.Rows); err != nil {
		return nil, err
	}
	for _, j := range some {
		r, err := c.deliverJob(ctx, v, j)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", j.name, err)
		}
		results = append(results, r)
	}
	return results, nil
}

// join starts Apache Kafka and makes the outlets to it.
func (v *venue) join(ctx context.Context, lib string) error {
	k, err := startCluster(ctx, lib, v.dir)
	if err != nil {
		return err
	}
	v.undo = append(v.undo, k.close)
	v.cluster, v.at.Brokers = k, []string{k.addr}
	for _, t := range []struct{ name, policy string }{{v.source.Topic, "delete"}, {deadLetters, "delete"}, {state, "compact"}} {
		if err := k.makeTopic(ctx, t.name, blockPartitions, t.policy); err != nil {
			return err
		}
	}
	form := kafka.Form{Asset: v.source.Asset, Time: v.source.Time, TimeUnit: v.source.TimeUnit}
	return v.publish(func(pipeline string) kafka.Outputs {
		if strings.HasPrefix(pipeline, "windows") {
			return kafka.Outputs{Features: output(pipeline)}
		}
		return kafka.Outputs{Readings: output(pipeline), Form: form}
	})
}

// output is the topic that a pipeline publishes to.
func output(pipeline string) string { return pipeline + ".out" }

func (c *config) deliverJob(ctx context.Context, v *venue, j *job) (r deliveryResult, err error) {
	r = deliveryResult{Job: j.name, What: j.what, Rows: c.deliveryRows, Bytes: rowBytes, Flush: processors.Default().Flush.Interval}
	for i := range c.deliveryRounds + 1 {
		one := deliveryRound{Load: loadAverage()}
		for _, once := range []bool{i%2 == 1, i%2 == 0} {
			way := "loose"
			into := &one.Loose
			if once {
				way, into = "once", &one.Once
			}
			t := turn{job: j, name: fmt.Sprintf("%s-%s-%d", j.name, way, i), once: once}
			if *into, err = v.turn(ctx, t); err != nil {
				return r, fmt.Errorf("%s: %w", t.name, err)
			}
		}
		one.Speed = float64(one.Loose.Wall) / float64(one.Once.Wall)
		one.Frugality = float64(one.Loose.cpu()) / float64(one.Once.cpu())
		if i == 0 {
			continue // it warmed up
		}
		c.say("delivery: %s, round %d of %d: at least once %v, %v of CPU time; exactly once %v, %v; ratio %.3f, by CPU time %.3f; load %s", j.name, i, c.deliveryRounds,
			one.Loose.Wall.Round(time.Millisecond), one.Loose.cpu(), one.Once.Wall.Round(time.Millisecond), one.Once.cpu(), one.Speed, one.Frugality, loadAverage())
		r.Rounds = append(r.Rounds, one)
	}
	r.Speed = median(r.Rounds, func(o deliveryRound) float64 { return o.Speed })
	r.Frugality = median(r.Rounds, func(o deliveryRound) float64 { return o.Frugality })
	return r, nil
}

// turn makes one turn with empty tables and a new output topic, and checks what came of it.
func (v *venue) turn(ctx context.Context, t turn) (d deliveryCost, err error) {
	if t.job.bare {
		if err := v.remember(ctx, t.name, t.once); err != nil {
			return d, err
		}
	}
	for _, table := range []string{"readings", "handled", "features"} {
		if err := v.owner.Exec(ctx, "TRUNCATE TABLE "+table); err != nil {
			return d, err
		}
	}
	var broker family
	if v.cluster != nil {
		broker = v.cluster.processes
		if err := v.cluster.makeTopic(ctx, output(t.name), blockPartitions, "delete"); err != nil {
			return d, err
		}
	}
	if err := v.rest(ctx); err != nil {
		return d, err
	}
	d, windows, err := v.deliver(ctx, t, v.source, v.ends, broker)
	if err != nil {
		return d, err
	}
	if before, ok := v.windows[t.job.name]; ok && before != windows {
		return d, fmt.Errorf("%d windows closed, and %d in the turn before", windows, before)
	}
	v.windows[t.job.name] = windows
	if err := v.stored(ctx, t, windows); err != nil {
		return d, err
	}
	if v.cluster == nil {
		return d, nil
	}
	want := v.rows
	if t.job.name == "windows" {
		want = windows
	}
	if d.Published, err = v.published(ctx, output(t.name)); err != nil {
		return d, err
	}
	if d.Published != want {
		return d, fmt.Errorf("%d records were published; expected %d", d.Published, want)
	}
	return d, v.cluster.forget(ctx, "andon."+t.name, output(t.name))
}

// stored asks ClickHouse what it has, as far as the job stores it by rows.
func (v *venue) stored(ctx context.Context, t turn, windows int) error {
	expect := map[string]int{"features": windows}
	if t.job.name != "map" {
		expect["readings"] = v.rows
	}
	for table, want := range expect {
		var n uint64
		if err := v.owner.QueryRow(ctx, "SELECT count() FROM "+table+" WHERE pipeline = ?", t.name).Scan(&n); err != nil {
			return err
		}
		if n != uint64(want) {
			return fmt.Errorf("%d rows are stored in %s; expected %d", n, table, want)
		}
	}
	return nil
}

var dedupSetting = regexp.MustCompile(`non_replicated_deduplication_window = (\d+)`)

// dedupWindows returns the tables that know deduplication tokens again, and how many of them.
func dedupWindows(ctx context.Context, conn ch.Conn) (map[string]string, error) {
	rows, err := conn.Query(ctx, "SELECT name, engine_full FROM system.tables WHERE database = 'andon'")
	if err != nil {
		return nil, err
	}
	all := map[string]string{}
	for rows.Next() {
		var name, engine string
		if err := rows.Scan(&name, &engine); err != nil {
			return nil, err
		}
		if m := dedupSetting.FindStringSubmatch(engine); m != nil {
			all[name] = m[1]
		}
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	if all["readings"] == "" {
		return nil, errors.New("the table readings has no deduplication window")
	}
	return all, nil
}

// remember sets the deduplication windows: those of the schema, or none, with which the server does nothing about the tokens that inserts bring. Two rows of one token
// prove it.
func (v *venue) remember(ctx context.Context, probe string, tokens bool) error {
	for table, n := range v.dedup {
		if !tokens {
			n = "0"
		}
		if err := v.owner.Exec(ctx, fmt.Sprintf("ALTER TABLE %s MODIFY SETTING non_replicated_deduplication_window = %s", "`"+table+"`", n)); err != nil {
			return err
		}
	}
	for range 2 {
		named := ch.Context(ctx, ch.WithSettings(ch.Settings{"deduplicate_insert": "enable", "insert_deduplication_token": probe, "async_insert": 0}))
		if err := v.owner.Exec(named, "INSERT INTO readings (pipeline) VALUES ('probe')"); err != nil {
			return err
		}
	}
	want, n := uint64(2), uint64(0)
	if tokens {
		want = 1
	}
	if err := v.owner.QueryRow(ctx, "SELECT count() FROM readings WHERE pipeline = 'probe'").Scan(&n); err != nil {
		return err
	}
	if n != want {
		return fmt.Errorf("two rows of one deduplication token became %d; expected %d", n, want)
	}
	return nil
}

// endsOf returns where the partitions of a filled topic end, together rows.
func endsOf(ctx context.Context, brokers []string, topic string, rows int) (map[int32]int64, error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.DisableClientMetrics())
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	listed, err := kadm.NewClient(cl).ListCommittedOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, sum := map[int32]int64{}, int64(0)
	listed.Each(func(o kadm.ListedOffset) {
		err = errors.Join(err, o.Err)
		ends[o.Partition] = o.Offset
		sum += o.Offset
	})
	if err == nil && rows > 0 && sum != int64(rows) {
		err = fmt.Errorf("topic %s holds %d records; expected %d", topic, sum, rows)
	}
	return ends, err
}
