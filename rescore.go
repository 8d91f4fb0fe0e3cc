package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/ingest"
	"andon/model"
	"andon/sinks/clickhouse"
)

// rescoring gives windows of the past new scores: a line of its own beside the live one, from the same log through the same code, into replay_scores.
//
// It is a member of a consumer group of its run. What makes it exact is what makes the live line exact: the group's commits say how far it is and carry the intent to
// store, the token of an insert names run and range, and a commit of a member that the group has given up is refused; so a run that was killed goes on, and two
// processes of one run share its partitions. Where the group has no commit, be it lost, the run goes on after the last offset that it has scores of.
type rescoring struct {
	t    *talk
	cfg  *Config
	pipe *Pipeline
	log  *slog.Logger
	rate float64 // rows a second, 0 without a bound

	store   *clickhouse.Store
	brokers *ingest.Inspector
	models  *model.Registry
	def     clickhouse.Rescoring // what the run is, and the state that this process began in
	group   string
	extents map[int32]ingest.Extent
	begun   time.Time

	rows, scores, refused atomic.Int64
}

var runName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

// rescore is `andon replay --pipeline`.
func (c *replayCommand) rescore(t *talk) error {
	from, err1 := parseBound("from", c.From)
	to, err2 := parseBound("to", c.To)
	var err3 error
	if c.RunName != "" && !runName.MatchString(c.RunName) {
		err3 = fmt.Errorf("--run: %q is not a name: use at most 63 letters, digits, dots, dashes and underscores", c.RunName)
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return usage(err)
	}
	cfg, err := c.load(func(cfg *Config) { cfg.named(c.Kafka, c.ClickHouse) })
	if err != nil {
		return err
	}
	i := slices.IndexFunc(cfg.Pipelines, func(p Pipeline) bool { return p.Name == c.Pipeline })
	if i < 0 {
		var names []string
		for _, p := range cfg.Pipelines {
			names = append(names, p.Name)
		}
		return usage(fmt.Errorf("the configuration has no pipeline %q; it has %s", c.Pipeline, strings.Join(names, ", ")))
	}
	if cfg.Pipelines[i].Aggregate != nil {
		return usage(fmt.Errorf("pipelines.%s ends at the values of its windows: it has no scores to give anew", c.Pipeline))
	}
	r := &rescoring{t: t, cfg: cfg, pipe: &cfg.Pipelines[i], rate: c.Rate, begun: time.Now()}
	quiet := cfg.Log
	quiet.Level = max(quiet.Level, slog.LevelWarn) // the lines of progress say the rest
	r.log = newLogger(quiet, t.err)
	if err := r.connect(t.ctx); err != nil {
		return err
	}
	defer r.store.Close()
	defer r.brokers.Close()
	if err := lowerPriority(c.Nice); err != nil {
		r.log.Warn("the replay runs at the priority of the live line", "error", err)
	}
	if r.models, err = openModelsBeside(t.ctx, cfg); err != nil {
		return err
	}
	finished, err := r.define(t.ctx, c, from, to)
	if err != nil {
		return err
	}
	if finished {
		fmt.Fprintf(t.err, "the replay %s of %s has finished before: nothing is to be done; --run names another\n", r.def.Run, r.def.Pipeline)
		return r.report(t.ctx, clickhouse.RescoreFinished, c.JSON)
	}
	state, err := r.run(t.ctx, c.Workers)
	if err != nil {
		return err
	}
	if err := r.report(context.WithoutCancel(t.ctx), state, c.JSON); err != nil {
		return err
	}
	if state == clickhouse.RescoreStopped {
		return fmt.Errorf("the replay %s was stopped: the same command with --run %s goes on where it is", r.def.Run, r.def.Run)
	}
	return nil
}

// connect finds brokers and ClickHouse, and opens both.
func (r *rescoring) connect(ctx context.Context) error {
	cfg := r.cfg
	at, err := cfg.beside()
	if err != nil {
		return err
	}
	k := &cfg.Kafka
	k.InstanceID = "" // that is the live member's
	k.ClientID += "-replay"
	k.ConnectTimeout = min(k.ConnectTimeout, 10*time.Second)
	k.MaxInFlight = min(k.MaxInFlight, replayInFlight)
	k.Fetch, k.FetchPartition = min(k.Fetch, replayInFlight/8), min(k.FetchPartition, replayInFlight/32)
	if r.rate > 0 { // so that a batch is a quarter of a second at most, and a stop or a flush does not wait for longer
		k.BatchRecords = max(1, min(k.BatchRecords, int(r.rate/4)))
	}
	if err := ingest.EnsureTopics(ctx, *k, nil, slog.New(slog.DiscardHandler)); err != nil { // one clear error where there is no broker
		return environment(err)
	}
	if r.brokers, err = ingest.NewInspector(*k, r.log); err != nil {
		return usage(err)
	}
	cfg.ClickHouse.Writers = 1
	if r.store, err = clickhouse.Open(ctx, cfg.ClickHouse, at, r.log, prometheus.NewRegistry()); err != nil {
		r.brokers.Close()
		return environment(err)
	}
	return nil
}

// replayInFlight is a quarter of the live line's default: a replay need not be the fastest.
const replayInFlight = 64 << 20

// define settles what the run is: what it was when it was started first, or what is asked for now. It tells whether the run has finished.
func (r *rescoring) define(ctx context.Context, c *replayCommand, from, to bound) (finished bool, err error) {
	var states []clickhouse.Rescoring
	if c.RunName != "" {
		if states, err = r.store.Rescorings(ctx, r.pipe.Name, c.RunName); err != nil {
			return false, environment(err)
		}
	}
	if len(states) > 0 {
		r.def = states[0]
		if c.From != "" && c.From != r.def.AskedFrom || c.To != "" && c.To != r.def.AskedTo {
			return false, usage(fmt.Errorf("the replay %s was started with --from %q --to %q: leave both out to go on with it, or name another with --run",
				r.def.Run, r.def.AskedFrom, r.def.AskedTo))
		}
	}
	wanted := c.Model
	if wanted == "" {
		wanted = cmp.Or(r.def.Version, string(model.Champion))
	}
	version, err := r.version(wanted)
	if err != nil {
		return false, err
	}
	if len(states) > 0 && version != r.def.Version {
		return false, usage(fmt.Errorf("the replay %s scores with model %s, not %s: leave --model out to go on with it, or name another with --run",
			r.def.Run, r.def.Version, version))
	}
	if slices.ContainsFunc(states, func(s clickhouse.Rescoring) bool { return s.State == clickhouse.RescoreFinished }) {
		return true, nil
	}
	if len(states) > 0 {
		r.def.State = clickhouse.RescoreResumed
	} else {
		r.def = clickhouse.Rescoring{Run: c.RunName, Pipeline: r.pipe.Name, State: clickhouse.RescoreStarted, Version: version, AskedFrom: c.From, AskedTo: c.To,
			Topic: r.pipe.Source.Topic, Who: whoami()}
		if r.def.Run == "" {
			r.def.Run = r.begun.UTC().Format("20060102-150405-") + version[:min(6, len(version))]
		}
	}
	r.group = cmp.Or(r.pipe.Source.Group, "andon."+r.pipe.Name) + ".replay." + r.def.Run
	topic := r.pipe.Source.Topic
	if r.extents, err = r.brokers.Extents(ctx, r.group, topic); err != nil {
		return false, environment(err)
	}
	if len(states) == 0 {
		view := &logView{topic: topic, extents: r.extents, newest: func() (int64, error) {
			at, ok, err := r.store.PipelineNewest(ctx, r.pipe.Name)
			if err == nil && !ok {
				err = fmt.Errorf("nothing is stored of %s to count back from", r.pipe.Name)
			}
			return at, err
		}, oldest: func(id int32) (int64, bool, error) {
			_, at, ok, err := r.brokers.FirstRow(ctx, r.pipe.Source, id, r.extents[id].Start, r.extents[id].End)
			return at, ok, err
		}}
		s, err := view.settle(from, to)
		if err != nil {
			return false, usage(err)
		}
		r.def.From, r.def.To, r.def.FromOffsets, r.def.ToOffsets = s.from, s.to, s.first, s.end
	}
	var cut []string
	for _, id := range slices.Sorted(maps.Keys(r.def.ToOffsets)) {
		if start := r.extents[id].Start; start > 0 {
			cut = append(cut, fmt.Sprintf("partition %d at %d", id, start))
		}
	}
	if len(cut) > 0 {
		fmt.Fprintf(r.t.err, "the log of %s no longer begins at its begin (%s): a life that began before is cut there, so its first windows, its baseline and its age differ from the live line's\n",
			topic, strings.Join(cut, ", "))
	}
	return false, nil
}

// version finds a model by its version, the first digits of one, or an alias.
func (r *rescoring) version(name string) (string, error) {
	pipeline := r.pipe.Name
	if r.pipe.Detector != nil {
		version, err := r.pipe.detectorVersion()
		if err == nil && name != version && name != string(model.Champion) {
			err = usage(fmt.Errorf("%s is scored by its detector, which is %s by this configuration: leave --model out; other settings of it are another --config", pipeline, version))
		}
		return version, err
	}
	if m := r.models.Named(pipeline, model.Alias(name)); m != nil {
		return m.Version, nil
	}
	info, err := r.models.Find(pipeline, name)
	if !errors.Is(err, model.ErrUnknown) {
		return info.Version, usage(err)
	}
	var all []string
	for _, i := range r.models.List(pipeline) {
		all = append(all, i.Version)
	}
	if len(all) == 0 {
		return "", usage(fmt.Errorf("%s has no model yet: train one with andon train %s, or bring one with andon model push", pipeline, pipeline))
	}
	return "", usage(fmt.Errorf("%s has no model %s; it has %s", pipeline, name, strings.Join(all, ", ")))
}

func whoami() string {
	host, _ := os.Hostname()
	return cmp.Or(os.Getenv("USER"), fmt.Sprint("uid ", os.Getuid())) + "@" + cmp.Or(host, "unknown")
}
