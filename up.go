package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sys/unix"

	"andon/console"
	"andon/event"
	"andon/ingest"
	"andon/ingest/broker"
	"andon/model"
	"andon/model/ort"
	"andon/processors"
	"andon/processors/features"
	"andon/scorer"
	"andon/scorer/oip"
	"andon/sinks/alerts"
	"andon/sinks/alerts/absence"
	"andon/sinks/clickhouse"
	"andon/sinks/clickhouse/engine"
	"andon/sinks/evidence"
	"andon/sinks/kafka"
)

// labelsPipeline is the built-in pipeline that stores what is told on the topic of labels.
const labelsPipeline = "labels"

type upCommand struct {
	ConfigFlags
	Listen      string   `help:"Console's address; port 0 takes a free one." placeholder:"HOST:PORT"`
	KafkaListen string   `help:"Embedded broker's address; port 0 takes a free one." placeholder:"HOST:PORT"`
	Kafka       []string `help:"Brokers of a Kafka cluster instead of the embedded one." placeholder:"HOST:PORT,…"`
	ClickHouse  string   `name:"clickhouse" help:"A ClickHouse server instead of the embedded one." placeholder:"DSN" env:"ANDON_CLICKHOUSE"`
	Demo        bool     `help:"Replay the demo fleet."`
}

// ConfigFlags name the configuration.
type ConfigFlags struct {
	Config string `help:"Configuration file; without it the built-in one." type:"path" placeholder:"FILE" env:"ANDON_CONFIG"`
	Data   string `help:"Data folder." placeholder:"DIR" env:"ANDON_DATA"`
}

// load reads the configuration with the flags applied and validates it.
func (f *ConfigFlags) load(apply func(*Config)) (*Config, error) {
	c, err := loadConfig(f.Config)
	if err != nil {
		return nil, err
	}
	if f.Data != "" {
		c.Data = f.Data
	}
	if apply != nil {
		apply(c)
	}
	c.settle()
	if err := c.Validate(); err != nil {
		return nil, usage(fmt.Errorf("the configuration does not hold:\n%w", err))
	}
	return c, nil
}

func (c *upCommand) Run(t *talk) error {
	cfg, err := c.load(func(cfg *Config) {
		if c.Listen != "" {
			cfg.Console.Listen = c.Listen
		}
		if c.KafkaListen != "" {
			cfg.Broker.Listen = c.KafkaListen
		}
		cfg.named(c.Kafka, c.ClickHouse)
	})
	if err != nil {
		return err
	}
	return up(t.ctx, cfg, c.Demo, t.err)
}

// up builds the house in the order that data flows, and runs it until ctx ends. Reading it is reading the architecture.
func up(ctx context.Context, cfg *Config, demo bool, tell io.Writer) (err error) {
	log := newLogger(cfg.Log, tell)
	room := func(name string) *slog.Logger { return log.With("room", name) }
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	started := time.Now()

	unlock, err := claim(cfg.Data)
	if err != nil {
		return environment(err)
	}
	defer unlock()

	// What is opened before the crew runs is closed here if building fails; afterwards the crew's ranks close it in order.
	var undo closers
	defer func() { undo.close() }()

	status := &statusBoard{started: started, demo: demo, cfg: cfg}
	var store *clickhouse.Store // opened below; the console asks it only once it is there
	var ready atomic.Pointer[clickhouse.Store]
	desk := newModelDesk(cfg, room("models"), metrics)
	bell := alerts.New(cfg.Alerts, room("alerts"), metrics) // what calls people; it may be rung from here on
	loop := newLoopDesk(room("loop"))                       // how people see and steer what brings models to the fleet
	var again pending
	var labels pendingLabels
	exams := newExaminer(cfg, desk)
	screen := console.New(cfg.Console, console.Deps{ // what people see; its port first, for it is the one that is taken most often
		Uplink: cfg.lifted(status),
		Store:  queries{&ready}, Metrics: metrics, Register: metrics, Status: status.status, Ready: status.ready, Train: status.train, Replay: again.replay,
		Models: desk, ModelBytes: int64(cfg.Models.MaxBytes), Alerts: alertDesk{bell},
		Label:       labels.tell,
		Loop:        loop,
		Evaluations: exams,
	}, room("console"))
	page, err := screen.Listen()
	if err != nil {
		return environment(err)
	}
	undo.add(screen.Close)

	if err := ort.Open(cfg.runtime()); err != nil { // what runs models
		return environment(err)
	}
	intakeAt := cfg.Kafka
	if intakeAt.InstanceID == "" { // a restart on the same folder takes its partitions back at once, also after a kill
		if intakeAt.InstanceID, err = instance(cfg.path("run", "instance")); err != nil {
			return environment(err)
		}
	}
	var bus *broker.Broker
	if cfg.embeddedBroker() { // the log, unless there is a cluster
		if bus, err = broker.Open(cfg.Broker, room("broker"), metrics); err != nil {
			return environment(err)
		}
		undo.add(bus.Close)
		intakeAt.Brokers = []string{bus.Addr()}
	} else if err := ingest.EnsureTopics(ctx, intakeAt, nil, room("kafka")); err != nil { // a cluster that is not there is told now, not once all is up
		return environment(err)
	}
	status.set("kafka", true, intakeAt.Brokers[0])

	var server *engine.Engine
	at := addresses{Console: page, Kafka: intakeAt.Brokers[0], PID: os.Getpid()}
	if cfg.embeddedClickHouse() { // the results, unless there is a cluster
		self, err := os.Executable()
		if err != nil {
			return environment(err)
		}
		server = engine.New(cfg.ClickHouse.Engine, cfg.path("clickhouse"), []string{self, "engine"}, room("clickhouse"), metrics)
		if err := server.Start(ctx); err != nil {
			return environment(err)
		}
		undo.add(server.Close)
		at.ClickHouseNative, at.ClickHouseHTTP, at.Credentials = server.Endpoint().Native, server.Endpoint().HTTP, server.Credentials()
	}
	if store, err = openStore(ctx, cfg, server, room("clickhouse"), metrics); err != nil {
		return environment(err)
	}
	undo.add(store.Close) // once more is no harm
	ready.Store(store)
	exams.store.Store(store)
	status.set("clickhouse", true, at.ClickHouseNative)

	models, err := openModels(ctx, cfg) // what the house remembers
	if err != nil {
		return environment(err)
	}
	for _, f := range models.Faults() {
		log.Warn("model skipped", "error", f)
	}
	judge := scorer.New(cfg.Scorer, room("scorer"), metrics) // what gives the verdict
	undo.add(func() error { judge.Close(); return nil })
	devices, err := watchDevices(cfg, judge, status, room("gpu"), metrics) // what it stands on
	if err != nil {
		log.Warn("the NVIDIA devices are not watched", "error", err)
	} else if devices != nil {
		undo.add(devices.Close)
	}
	desk.open(models)
	models.Prepare(judge.Load)
	models.OnChange(func(m model.Move) {
		if m.From != "" && len(models.Aliases(m.Pipeline, m.From)) == 0 { // a champion that became the shadow stays
			judge.Retire(m.From)
		}
	})
	asked := oip.New(cfg.Inference, oip.Deps{ // what gives it to others
		Judge: judge, Models: models, Pipelines: cfg.pipelineNames(), Ready: status.ready, Version: version,
	}, room("inference"), metrics)
	screen.Models(asked, asked.ServeRPC)
	warm(ctx, cfg, models, judge, room("scorer"))
	status.models = models
	register := newModelLog(models, store, room("models"))
	status.set("scorer", true, "ONNX Runtime "+ort.Version())
	publisher, err := newPublisher(cfg, intakeAt, room("kafka"), metrics) // what tells the rest of the world
	if err != nil {
		return environment(err)
	}
	undo.add(publisher.Close)

	openAlerts(ctx, cfg, bell, bus, intakeAt, publisher, store, screen, "http://"+page, &undo, room("alerts"))

	resender, err := publisher.Resender() // what sends dead letters again
	if err != nil {
		return environment(err)
	}
	undo.add(resender.Close)
	again.Store(newReplayer(store, resender, cfg.Topics, room("replay")))

	labels.to.Store(&labeller{topic: cfg.Topics.Labels, pipelines: cfg.pipelineNames(), place: publisher.Place})

	_, _, most := cfg.stateTopic()
	vault, err := publisher.Vault(cfg.Topics.State, most, room("kafka")) // what keeps the line's state
	if err != nil {
		return environment(err)
	}
	undo.add(vault.Close)

	frames, err := evidence.Open(cfg.Evidence.Config, cfg.evidenceDir(), room("evidence"), metrics) // what is kept of cameras' frames
	if err != nil {
		return environment(err)
	}
	if err := copyEvidence(ctx, cfg, frames, room("evidence")); err != nil {
		return environment(err)
	}
	exams.kept.Store(frames)

	teacher := newTeacher(cfg, &lessons{Store: store, kept: frames}, models, func(t event.Training) { // what learns
		screen.Training(t)
		status.training(t)
		tellTraining(tell, t)
	}, room("trainer"), metrics)
	teacher.Meter(meters(devices))
	loop.open(loopMeans{teacher, store, publisher, cfg.Topics.Trainings, loopLead(bus, publisher, cfg, intakeAt, room("loop"))})
	leadLoop(teacher, store, models, desk, exams, metrics, loop.leads.Load, func(d event.Decision) { // what gets it to the fleet, or not
		loop.tell(d)
		screen.Decided()
		if a, ok := alertOfDecision(d); ok {
			bell.Raise(a)
		}
		tellDecision(tell, d)
	})
	status.teach(teacher)
	status.set("trainer", true, "")
	alarms := &alarms{} // what has changed, for whoever acts on it
	alarms.tell(func(a event.Alarm) { bell.Raise(alertOf(a)) })
	alarms.tell(teacher.Notify)
	honest := newTruth(cfg, models, store, alarms.raise, loop.leads.Load, room("truth"), metrics) // what says who was right

	upward, err := newUplink(cfg, intakeAt, bus, keptFrame(frames), bell.Raise, room("uplink"), metrics) // what tells it to a central cluster
	if err != nil {
		return err
	}
	if upward != nil {
		undo.add(upward.Close)
		status.lift(uplinkView(upward))
	}
	screen.Frames(keptFrames{frames}, cfg.eyes(), labelsOf(models))
	see := newEyes(cfg, judge, models, room("vision"), metrics) // what looks at frames
	see.alert, see.show, see.frames, see.recent = bell.Raise, screen.Sight, frames, screen.Frame
	missing := newAbsence(cfg, bell, metrics, intakeAt.InstanceID, room("absence")) // who sends nothing any more
	outlets := processors.Outlets{Sink: sink{store, retiring(labelledTo(see.labelled, teacher), missing)}, Publisher: publisher, Watch: watches{screen, see.machines, scoreRules(cfg, bell)}}
	panel := newPanel(cfg, store, shelf{Vault: vault}, alarms.raise, room("drift"), metrics)
	intakes, err := newIntakes(cfg, intakeAt, judge, models, outlets, publisher, vault, see, panel, missing, log, metrics) // what reads the log, one group a pipeline
	if err != nil {
		return usage(err)
	}
	if err := ensureTopics(ctx, cfg, bus, intakeAt, log); err != nil {
		return environment(err)
	}
	ensureState(ctx, cfg, bus, intakeAt, log)
	workers, err := hire(ctx, cfg, bus, intakeAt, publisher, &lessons{Store: store, kept: frames}, teacher, room("jobs"), metrics) // who learns, where that is not we
	if err != nil {
		return environment(err)
	}
	status.detect(intakes)
	journal := follow(ctx, cfg, bus, intakeAt, publisher, models, room("models"))
	undo.add(journal.Close)

	// Rank by rank they end: first what feeds the line, then what it feeds, last what it stands on.
	team := newCrew(ctx, 4)
	for _, in := range intakes {
		team.run(0, "", in.Run) // it names itself
	}
	if demo {
		if err := startDemo(team, cfg, intakeAt, room("replay")); err != nil {
			return usage(err)
		}
		if err := startDemoCameras(team, cfg, intakeAt, room("replay")); err != nil {
			return usage(err)
		}
	}
	team.run(0, "trainer", teacher.Run)
	team.run(0, "truth", honest.Run)
	team.run(1, "loop", loop.Run)
	team.run(1, "alerts", bell.Run)
	team.run(1, "absence", missing.Run)
	team.run(1, "bottlenecks", newBottlenecks(cfg, bell, metrics, intakeAt.InstanceID, room("bottlenecks")).Run)
	team.run(1, "console", screen.Run)
	team.run(1, "models", register.Run)
	team.run(1, "evidence", frames.Run)
	team.run(1, "copies of evidence", frames.RunCopies)
	team.run(1, "journal", journal.Run)
	if upward != nil {
		team.run(1, "uplink", upward.Run)
	}
	if workers != nil {
		undo.add(workers.board.Close)
		team.run(1, "jobs", workers.Run)
	}
	if devices != nil {
		team.run(1, "devices", devices.Run)
	}
	team.run(1, "health", func(ctx context.Context) error { return watchStore(ctx, store, status, at.ClickHouseNative) })
	team.run(1, "metrics", func(ctx context.Context) error { return store.RecordMetrics(ctx, metrics, 10*time.Second) })
	team.run(2, "store", func(ctx context.Context) error { // the server waits five seconds for connections that stay open
		<-ctx.Done()
		return store.Close()
	})
	if bus != nil {
		team.run(3, "broker", bus.Run)
	}
	if server != nil {
		team.run(3, "clickhouse", server.Run)
	}
	status.where(at)
	status.up.Store(true)
	if err := writeAddresses(cfg.Data, at); err != nil {
		team.fail(environment(err))
	} else {
		defer os.Remove(addressesFile(cfg.Data))
	}
	announce(tell, at, cfg, demo, time.Since(started))
	for i := range cfg.Pipelines {
		if p := &cfg.Pipelines[i]; p.Model != nil && models.Live(p.Name) == nil {
			fmt.Fprintf(tell, "%s has no model yet: it is trained once its rows are there, within a minute or two in the demo\n", p.Name)
		}
	}
	if err = team.wait(); err != nil {
		log.Error("stopped", "error", err)
	} else {
		log.Info("stopped")
	}
	return err
}

// closers are closed in reverse.
type closers []func() error

func (c *closers) add(f func() error) { *c = append(*c, f) }

func (c *closers) close() {
	for i := len(*c) - 1; i >= 0; i-- {
		_ = (*c)[i]() // what matters was flushed by Run; there is nobody left to tell
	}
	*c = nil
}

// claim makes the data folder, proves that it can be written, and takes its lock.
func claim(data string) (release func(), err error) {
	run := filepath.Join(data, "run")
	if err := os.MkdirAll(run, 0o755); err != nil {
		return nil, fmt.Errorf("make the data folder: %w: name another with --data", err)
	}
	f, err := os.OpenFile(filepath.Join(run, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("the data folder %s cannot be written: %w: name another with --data", data, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another appliance runs on the data folder %s: stop it, or name another with --data", data)
	}
	return func() { f.Close() }, nil
}

// instance returns the name by which the consumer groups know the appliance of a data folder; it is made at the first start.
func instance(file string) (string, error) {
	text, err := os.ReadFile(file)
	if name := strings.TrimSpace(string(text)); err == nil && name != "" {
		return name, nil
	}
	name := "andon-" + strings.ToLower(rand.Text()[:12])
	return name, os.WriteFile(file, []byte(name+"\n"), 0o644)
}

func newLogger(c Log, w io.Writer) *slog.Logger {
	o := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// library returns the path of a native library: in the configured folder, or beside the program, or in ./lib.
func (c *Config) library(name string) string {
	if c.Libraries != "" {
		return filepath.Join(c.Libraries, name)
	}
	places := []string{filepath.Join("lib", name)}
	if exe, err := os.Executable(); err == nil {
		dir := filepath.Dir(exe)
		places = append([]string{filepath.Join(dir, "..", "lib", name), filepath.Join(dir, "lib", name)}, places...)
	}
	for _, p := range places {
		if _, err := os.Stat(p); err == nil {
			return p
		}
	}
	return places[len(places)-1]
}

// newIntakes makes one intake a pipeline, and one for labels. They share a budget of bytes.
func newIntakes(cfg *Config, at ingest.Config, judge *scorer.Scorer, models *model.Registry, out processors.Outlets, publisher *kafka.Publisher, vault *kafka.Vault, see *eyes, panel *processors.Panel, missing *absence.Watch, log *slog.Logger, reg prometheus.Registerer) ([]intake, error) {
	reading, working := ingest.NewMetrics(reg), processors.NewMetrics(reg)
	budget := ingest.NewBudget(at.MaxInFlight, reading)
	var all []intake
	add := func(name string, source ingest.Source, pc processors.Config, j processors.Judge, once *kafka.Publisher) error {
		pc.Pipeline, pc.Signals, pc.Source, pc.Flush = name, source.Columns(), fmt.Sprintf("%+v", source.Spec), cfg.Flush
		pc.Snapshot = cfg.Snapshot
		line, err := processors.New(pc, j, out, working, log.With("room", "processors"))
		if err != nil {
			return err
		}
		group := source.Group
		if group == "" {
			group = "andon." + name
		}
		open := func(ctx context.Context, a ingest.Assignment) (ingest.Handler, int64, error) {
			h, from, err := line.Open(ctx, processors.Assignment(a))
			return attended(h, missing.Sit(name, a.Partition)), from, err
		}
		source.Group = group
		in, err := ingest.New(at, name, source, open, budget, reading, log.With("room", "ingest"))
		if err != nil {
			return err
		}
		if once != nil {
			in.FenceBy(func(ctx context.Context, topic string, partition int32) (io.Closer, error) {
				return once.Transactor(ctx, group, topic, partition)
			})
		}
		all = append(all, intake{name, in, line})
		return nil
	}
	base := 0
	for i := range cfg.Pipelines {
		p := &cfg.Pipelines[i]
		out.Vault = shelf{vault, int32(base)}
		base += cfg.partitions(i)
		pc := processors.Default()
		pc.Features, pc.Detector, pc.Readings, pc.Drift = p.Window, p.Detector, p.readings(), p.drift()
		var err error
		if pc.Vision, err = see.of(p); err != nil {
			return nil, fmt.Errorf("pipelines.%s: %w", p.Name, err)
		}
		if p.Aggregate != nil {
			pc.Aggregate = &p.Aggregate.Aggregate
		}
		j := processors.Judge{Scorer: judge, Live: func() *model.Model { return models.Live(p.Name) },
			Canary: func() (*model.Model, float64) { return models.Canary(p.Name) },
			Shadow: func() *model.Model { return models.Named(p.Name, model.Shadow) }, Shadower: judge, Shed: scorer.ErrShed}
		var once *kafka.Publisher
		if p.Delivery == exactlyOnce {
			once = publisher
		}
		if err := add(p.Name, p.Source, pc, j, once); err != nil {
			return nil, fmt.Errorf("pipelines.%s: %w", p.Name, err)
		}
	}
	labels := ingest.Source{Topic: cfg.Topics.Labels}
	labels.Shape = "labels"
	if err := add(labelsPipeline, labels.WithDefaults(), processors.Default(), processors.Judge{}, nil); err != nil {
		return nil, err
	}
	decides, err := panelIntake(cfg, at, panel, budget, reading, log)
	return append(all, decides), err
}

type intake struct {
	name string
	*ingest.Intake
	line *processors.Line
}

// featurizer gives the trainer the line's own windows.
func (p *Pipeline) featurizer() func(*model.Recipe, []event.Row, func(int64, []float32)) error {
	w := *p.Window // who trains has one
	if len(w.Recipe.Signals) == 0 {
		w.Recipe.Signals = p.Source.Columns()
	}
	return func(r *model.Recipe, rows []event.Row, emit func(int64, []float32)) error {
		return features.Config(w).Windows(r, rows, emit)
	}
}

// queries gives the console the store once it is open.
type queries struct {
	store *atomic.Pointer[clickhouse.Store]
}

var errStarting = errors.New("ClickHouse is still starting: try again in a moment")

func (q queries) QueryParams(ctx context.Context, sql string, params map[string]string, limit int) (*event.Table, error) {
	s := q.store.Load()
	if s == nil {
		return nil, errStarting
	}
	return s.QueryParams(ctx, sql, params, limit)
}

// announce tells a person where to look.
func announce(w io.Writer, at addresses, cfg *Config, demo bool, took time.Duration) {
	fmt.Fprintf(w, "\nandon is up after %v\n  console     http://%s\n  kafka       %s\n", took.Round(10*time.Millisecond), at.Console, at.Kafka)
	if at.ClickHouseNative != "" {
		fmt.Fprintf(w, "  clickhouse  %s (native), http://%s; user and password in %s\n", at.ClickHouseNative, at.ClickHouseHTTP, at.Credentials)
	}
	fmt.Fprintf(w, "  ask         andon sql --data %s \"select * from andon.top_assets where rank <= 10\"\n", cfg.Data)
	if demo {
		fmt.Fprintln(w, "the demo fleet is flowing")
	}
	fmt.Fprintln(w)
}

// tellDecision is the terminal's view of the loop.
func tellDecision(w io.Writer, d event.Decision) {
	if d.Verdict != event.DecidedWait {
		fmt.Fprintf(w, "%s, %s: %s: %s\n", d.Pipeline, d.Stage, d.Verdict, d.Reason)
	}
}

// tellTraining is the terminal's view of a training run.
func tellTraining(w io.Writer, t event.Training) {
	switch t.State {
	case event.TrainingStarted:
		fmt.Fprintf(w, "training %s: %d windows, %s\n", t.Pipeline, t.Rows, t.Detail)
	case event.TrainingEpoch:
		fmt.Fprintf(w, "training %s: epoch %d of %d, loss %.4f, validation %.4f, %.0f windows/s\n", t.Pipeline, t.Epoch, t.Epochs, t.Loss, t.ValLoss, t.RowsPerSecond)
	case event.TrainingFinished:
		fmt.Fprintf(w, "training %s: model %s after %v; %s\n", t.Pipeline, t.Version, time.Duration(t.Elapsed).Round(100*time.Millisecond), t.Detail)
	case event.TrainingFailed:
		fmt.Fprintf(w, "training %s failed: %s\n", t.Pipeline, t.Detail)
	}
}
