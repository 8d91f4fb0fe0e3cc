package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"andon/console"
	"andon/deploy"
	"andon/ingest"
	"andon/ingest/broker"
	"andon/ingest/replay"
	"andon/model"
	"andon/model/adopt"
	"andon/model/s3"
	"andon/processors"
	"andon/processors/anomaly"
	"andon/processors/drift"
	"andon/processors/features"
	"andon/processors/vision"
	"andon/scorer"
	"andon/scorer/oip"
	"andon/sinks/alerts"
	"andon/sinks/alerts/absence"
	"andon/sinks/alerts/bottlenecks"
	"andon/sinks/alerts/rules"
	"andon/sinks/clickhouse"
	"andon/sinks/evidence"
	"andon/sinks/kafka"
	"andon/sinks/kafka/uplink"
	"andon/trainer"
	"andon/trainer/truth"
)

// Config is the file an operator writes: one section a room. deploy/andon.yaml shows every key with its default.
type Config struct {
	// Data is the folder of everything that the appliance keeps.
	Data string `yaml:"data"`
	// Libraries is the folder of the native libraries; empty looks beside the program and in ./lib.
	Libraries string `yaml:"libraries"`
	Log       Log    `yaml:"log"`

	// Kafka is where records come from; without brokers the embedded one is started.
	Kafka  ingest.Config `yaml:"kafka"`
	Broker broker.Config `yaml:"broker"`
	// Uplink is the central cluster that results go up to; without brokers there is none.
	Uplink     uplink.Config     `yaml:"uplink"`
	ClickHouse clickhouse.Config `yaml:"clickhouse"`
	Flush      processors.Flush  `yaml:"flush"`
	// Snapshot says when a partition's state is kept whole.
	Snapshot processors.Snapshot `yaml:"snapshot"`
	Models   Models              `yaml:"models"`
	Scorer   scorer.Config       `yaml:"scorer"`
	Trainer  trainer.Config      `yaml:"trainer"`
	// Inference is how others may ask the models, on the console's port.
	Inference oip.Config     `yaml:"inference"`
	Console   console.Config `yaml:"console"`
	// Evidence is where frames are kept.
	Evidence Evidence `yaml:"evidence"`
	// Truth is how labels are held against what was said.
	Truth truth.Config `yaml:"truth"`
	// Alerts is who is told of what, Bottlenecks from where on something holds the appliance up.
	Alerts      alerts.Config      `yaml:"alerts"`
	Bottlenecks bottlenecks.Config `yaml:"bottlenecks"`

	Topics       Topics       `yaml:"topics"`
	Transactions Transactions `yaml:"transactions"`
	Pipelines    []Pipeline   `yaml:"pipelines"`
	// Demo is what `andon up --demo` replays.
	Demo []replay.Replay `yaml:"demo"`
	// DemoCameras are its videos.
	DemoCameras []DemoCamera `yaml:"demo_cameras"`
}

// Log says what is written to standard error.
type Log struct {
	Level  slog.Level `yaml:"level"`
	Format string     `yaml:"format"` // text or json
}

// Models says where models are kept and what may be brought.
type Models struct {
	// Dir is the registry's folder; empty: models in the data folder.
	Dir          string `yaml:"dir"`
	adopt.Limits `yaml:",inline"`
	// S3 keeps the files in a bucket, too, so that replicas on several machines have them; the folder is a cache then.
	S3 s3.Config `yaml:"s3"`
}

// Topics names the appliance's own topics.
type Topics struct {
	DeadLetter string `yaml:"deadletter"`
	Scores     string `yaml:"scores"`
	// Features is of the values of windows, of pipelines that name no topic of their own.
	Features string `yaml:"features"`
	Labels   string `yaml:"labels"`
	// Readings is of rows that were taken, of the pipelines that publish them and name no topic of their own.
	Readings string `yaml:"readings"`
	// State is of snapshots; on a cluster it must be compacted.
	State string `yaml:"state"`
	// Models is of moves of aliases and new versions, which all replicas follow; on a cluster it has one partition and must be compacted.
	Models string `yaml:"models"`
	// Drift is of what lines count of their windows, for the panel that decides what has changed; on a cluster it has one partition.
	Drift string `yaml:"drift"`
	// Alerts is of the state of each alert, which all replicas follow; on a cluster it has one partition and must be compacted.
	Alerts string `yaml:"alerts"`
	// Trainings is of what the loop decides, as CloudEvents.
	Trainings string `yaml:"trainings"`
	// Jobs is the queue of trainings for workers, JobEvents of what is said of them, with one partition, and JobFiles of models on their way.
	Jobs      string `yaml:"jobs"`
	JobEvents string `yaml:"job_events"`
	JobFiles  string `yaml:"job_files"`
}

// Transactions are those of pipelines that are delivered exactly once.
type Transactions struct {
	// Timeout is when the brokers abort a transaction that was left open.
	Timeout time.Duration `yaml:"timeout"`
}

// The deliveries of what a pipeline sends to Kafka. What it stores in ClickHouse is there exactly once either way.
const (
	atLeastOnce = "at-least-once"
	exactlyOnce = "exactly-once"
)

// Pipeline is the unit a person owns: where records come from, how they become windows, which model scores them and how it is made.
type Pipeline struct {
	Name   string        `yaml:"name"`
	Source ingest.Source `yaml:"source"`
	// Window says how rows become windows; without it the pipeline stores and publishes readings only.
	Window *features.Config `yaml:"window"`
	// Detector scores the rows by what it learns from them as they come, without a trained network; it goes with Window, in the place of Model.
	Detector *anomaly.Config `yaml:"detector"`
	// Aggregate ends the pipeline at its features: the values of its windows are published. Instead of window and model.
	Aggregate *Aggregate `yaml:"aggregate"`
	// Vision says what is seen in the frames of a source of these; instead of window and aggregate.
	Vision *vision.Config `yaml:"vision"`
	// Model says what is trained; without it the pipeline stores readings and scores with whatever model is promoted.
	Model *trainer.Spec `yaml:"model"`
	// Loop says when the model is made anew, and how a challenger gets to the fleet; without it by the defaults. It goes with Model.
	Loop *trainer.Loop `yaml:"loop"`
	// Partitions of the topic, where it is made here; 0 takes broker.partitions.
	Partitions int `yaml:"partitions"`
	// PublishScores sends each score to the topic of scores, too.
	PublishScores bool `yaml:"publish_scores"`
	// Delivery of all that is published to its topics: at-least-once, which an empty one is, or exactly-once.
	Delivery string `yaml:"delivery"`
	// Readings says what becomes of the rows themselves; without it they are stored, and not published.
	Readings *processors.Readings `yaml:"readings"`
	// Alerts is the rule by which scores call people; without it they do not.
	Alerts *rules.Config `yaml:"alerts"`
	// Absent says when an asset or a camera that used to send is missed; without it the defaults.
	Absent *absence.Config `yaml:"absent"`
	// Drift says what is watched of the windows or frames that a model scores; without it the defaults.
	Drift *drift.Config `yaml:"drift"`
	// Truth says when what the model said is known to have been right or wrong.
	Truth *Truth `yaml:"truth"`
}

// Aggregate says what is told of a pipeline's values in windows, and where.
type Aggregate struct {
	features.Aggregate `yaml:",inline"`
	// Publish sends each window to Topic, beside the store.
	Publish bool `yaml:"publish"`
	// Topic takes topics.features where it is empty.
	Topic string `yaml:"topic"`
}

// UnmarshalYAML reads a section over the defaults.
func (a *Aggregate) UnmarshalYAML(unmarshal func(any) error) error {
	type plain Aggregate
	*a = Aggregate{Aggregate: features.DefaultAggregate(), Publish: true}
	return unmarshal((*plain)(a))
}

// Validate reports every fault with its key; signals are the pipeline's.
func (a *Aggregate) Validate(signals []string) error {
	errs := []error{a.Aggregate.Validate()}
	for _, s := range a.Signals {
		if !slices.Contains(signals, s) {
			errs = append(errs, fmt.Errorf("signals: %q is none of the source's %q", s, signals))
		}
	}
	return errors.Join(errs...)
}

// featuresTopic returns where the values of the pipeline's windows are published, empty for nowhere.
func (c *Config) featuresTopic(p *Pipeline) string {
	switch {
	case p.Aggregate == nil || !p.Aggregate.Publish:
		return ""
	case p.Aggregate.Topic != "":
		return p.Aggregate.Topic
	}
	return c.Topics.Features
}

// defaultConfig is the embedded default without pipelines.
func defaultConfig() Config {
	return Config{
		Data:         "andon-data",
		Log:          Log{Level: slog.LevelInfo, Format: "text"},
		Kafka:        ingest.Default(),
		Broker:       broker.Default(),
		Uplink:       uplink.Default(),
		ClickHouse:   clickhouse.Default(),
		Flush:        processors.Default().Flush,
		Snapshot:     processors.Default().Snapshot,
		Models:       Models{Limits: adopt.DefaultLimits(), S3: s3.Default()},
		Scorer:       scorer.Default(),
		Trainer:      trainer.Default(),
		Inference:    oip.Default(),
		Console:      console.Default(),
		Truth:        truth.Default(),
		Alerts:       alerts.Default(),
		Bottlenecks:  bottlenecks.Default(),
		Evidence:     Evidence{evidence.Default(), s3.Default()},
		Transactions: Transactions{Timeout: kafka.Default().TransactionTimeout},
		Topics: Topics{DeadLetter: "andon.deadletter", Scores: "andon.scores", Features: "andon.features", Labels: "andon.labels", Readings: "andon.readings", State: "andon.state",
			Models: "andon.models", Alerts: "andon.alerts", Drift: "andon.drift", Trainings: "andon.trainings",
			Jobs: "andon.jobs", JobEvents: "andon.jobs.events", JobFiles: "andon.jobs.files"},
	}
}

// loadConfig reads the file over the defaults; an empty name takes the reference file that the program carries.
func loadConfig(name string) (*Config, error) {
	text, from := deploy.Config, "the built-in configuration"
	if name != "" {
		var err error
		if text, err = os.ReadFile(name); err != nil {
			return nil, usage(fmt.Errorf("read the configuration: %w", err))
		}
		from = name
	}
	c, err := parseConfig(text)
	if err != nil {
		return nil, usage(fmt.Errorf("%s does not hold:\n%w", from, err))
	}
	return c, nil
}

// parseConfig decodes strictly and does not validate more than the form: flags may still change what it says.
func parseConfig(text []byte) (*Config, error) {
	c := defaultConfig()
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return nil, formFaults(text, err)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("a second YAML document follows: write one")
	}
	return &c, nil
}

var pipelineName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

// Validate reports every fault, each with its key.
func (c *Config) Validate() error {
	var errs []error
	section := func(key string, err error) {
		for _, e := range flatten(err) {
			errs = append(errs, fmt.Errorf("%s%s", prefixed(key, e.Error()), ""))
		}
	}
	if c.Data == "" {
		errs = append(errs, errors.New("data: name a folder"))
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		errs = append(errs, fmt.Errorf("log.format: %q is neither text nor json", c.Log.Format))
	}
	section("kafka", c.Kafka.Validate())
	if c.embeddedBroker() {
		b := c.Broker
		b.Dir = "set later"
		section("broker", b.Validate())
	}
	section("uplink", c.Uplink.Validate())
	section("clickhouse", c.ClickHouse.Validate())
	line := processors.Default()
	line.Flush = c.Flush
	section("flush", line.Validate())
	section("snapshot", c.Snapshot.Validate())
	if t := c.Transactions.Timeout; t < kafka.MinTransactionTimeout || t > kafka.MaxTransactionTimeout {
		errs = append(errs, fmt.Errorf("transactions.timeout: %v is not between %v and %v", t, kafka.MinTransactionTimeout, kafka.MaxTransactionTimeout))
	}
	if c.Topics.State == "" {
		errs = append(errs, errors.New("topics.state: name a topic; snapshot.records: 0 keeps no snapshots"))
	}
	if c.Topics.Models == "" {
		errs = append(errs, errors.New("topics.models: name a topic: moves of models go by it"))
	}
	if c.Topics.Alerts == "" {
		errs = append(errs, errors.New("topics.alerts: name a topic: the state of alerts is kept in it"))
	}
	if c.Topics.Drift == "" {
		errs = append(errs, errors.New("topics.drift: name a topic: what the lines count goes by it to the panel; drift.enabled: false watches nothing"))
	}
	if c.Topics.Trainings == "" {
		errs = append(errs, errors.New("topics.trainings: name a topic: what is decided about models is told there"))
	}
	if c.Trainer.Workers.By == trainer.ByKafka && (c.Topics.Jobs == "" || c.Topics.JobEvents == "" || c.Topics.JobFiles == "") {
		errs = append(errs, errors.New("topics.jobs, topics.job_events, topics.job_files: name a topic each: workers take trainings from them"))
	}
	section("models", c.Models.Limits.Validate())
	section("models.s3", c.Models.S3.Validate())
	section("scorer", c.Scorer.Validate())
	section("inference", c.Inference.Validate())
	section("trainer", c.Trainer.Validate())
	section("evidence", c.Evidence.Validate())
	section("evidence.s3", c.Evidence.S3.Validate())
	section("console", c.Console.Validate())
	section("alerts", c.Alerts.Validate())
	section("bottlenecks", c.Bottlenecks.Validate())
	section("truth", c.Truth.Validate())
	names := map[string]bool{}
	for i := range c.Pipelines {
		p := &c.Pipelines[i]
		key := fmt.Sprintf("pipelines[%d]", i)
		if pipelineName.MatchString(p.Name) {
			key = "pipelines." + p.Name
		} else {
			errs = append(errs, fmt.Errorf("%s.name: %q is not a name: use lower-case letters, digits, dots and dashes", key, p.Name))
		}
		if names[p.Name] || p.Name == labelsPipeline || p.Name == driftPipeline {
			errs = append(errs, fmt.Errorf("%s.name: %q is taken", key, p.Name))
		}
		names[p.Name] = true
		section(key+".source", p.Source.Validate())
		if p.Window != nil {
			section(key+".window", p.Window.Validate())
		}
		if p.Aggregate != nil {
			section(key+".aggregate", p.Aggregate.Validate(p.Source.Columns()))
			if p.Window != nil {
				errs = append(errs, fmt.Errorf("%s.window: aggregate makes the pipeline's windows: take one of the two out", key))
			}
			if p.Model != nil {
				errs = append(errs, fmt.Errorf("%s.model: a pipeline with aggregate ends at the values of its windows: take one of the two out, or make a second pipeline", key))
			}
			if p.PublishScores {
				errs = append(errs, fmt.Errorf("%s.publish_scores: a pipeline with aggregate has no scores: aggregate.publish says whether its windows are published", key))
			}
			if c.featuresTopic(p) == "" && p.Aggregate.Publish {
				errs = append(errs, fmt.Errorf("%s.aggregate.topic: name a topic, or one for all as topics.features; or say publish: false", key))
			}
			if to := c.featuresTopic(p); to != "" && to == p.Source.Topic {
				errs = append(errs, fmt.Errorf("%s.aggregate.topic: %q is the topic that the pipeline reads", key, to))
			}
		}
		if p.Model != nil {
			section(key+".model", p.Model.Validate())
			if p.Window == nil && p.Aggregate == nil && p.Vision == nil {
				errs = append(errs, fmt.Errorf("%s.window: a model needs windows: set at least their grid", key))
			}
		}
		section(key, p.detectorFaults())
		section(key+".drift", c.driftFaults(p))
		section(key, c.visionFaults(p))
		section(key+".loop", p.loopFaults())
		if p.Alerts != nil {
			section(key+".alerts", p.Alerts.Validate())
			if p.Window == nil {
				errs = append(errs, fmt.Errorf("%s.alerts: the pipeline has no scores: a rule needs window and a model; rules of frames are in vision", key))
			}
		}
		if p.Absent != nil {
			section(key+".absent", p.Absent.Validate())
		}
		section(key, c.deliveryFaults(p))
		section(key+".readings", c.readingsFaults(p))
		section(key+".truth", p.truthFaults())
	}
	for i := range c.Demo {
		section(fmt.Sprintf("demo[%d]", i), c.Demo[i].Validate())
	}
	for i := range c.DemoCameras {
		section(fmt.Sprintf("demo_cameras[%d]", i), c.DemoCameras[i].Validate())
	}
	return errors.Join(errs...)
}

// readingsFaults reports what is wrong with what a pipeline does with its readings.
func (c *Config) readingsFaults(p *Pipeline) error {
	r, topic := p.readings(), c.readingsTopic(p)
	var errs []error
	if !r.Store && p.Model != nil {
		errs = append(errs, errors.New("store: the model is trained from stored readings: store them, or take the model section out and promote a model from elsewhere"))
	}
	switch {
	case !r.Publish && r.Topic != "":
		errs = append(errs, errors.New("topic: nothing is published to it: set publish, or leave it out"))
	case r.Publish && topic == "":
		errs = append(errs, errors.New("topic: name one here, or in topics.readings"))
	case r.Publish && topic == p.Source.Topic:
		errs = append(errs, fmt.Errorf("topic: %q is what the pipeline reads: it would read its own readings for ever", topic))
	}
	return errors.Join(errs...)
}

// deliveryFaults tells what is wrong with a pipeline's delivery.
func (c *Config) deliveryFaults(p *Pipeline) error {
	switch {
	case p.Delivery != "" && p.Delivery != atLeastOnce && p.Delivery != exactlyOnce:
		return fmt.Errorf("delivery: %q is neither %s nor %s", p.Delivery, atLeastOnce, exactlyOnce)
	case p.Delivery == exactlyOnce && c.embeddedBroker():
		return fmt.Errorf("delivery: %s needs transactions, and those of the embedded broker do not survive a kill: name a cluster in kafka.brokers (or --kafka), or write %s; "+
			"results are in ClickHouse exactly once either way", exactlyOnce, atLeastOnce)
	}
	return nil
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range j.Unwrap() {
			all = append(all, flatten(e)...)
		}
		return all
	}
	return []error{err}
}

// prefixed puts the section before a fault's key, unless the room has done so.
func prefixed(section, fault string) string {
	if strings.HasPrefix(fault, section+".") || strings.HasPrefix(fault, section+":") {
		return fault
	}
	return section + "." + fault
}

func (c *Config) embeddedBroker() bool { return len(c.Kafka.Brokers) == 0 }

func (c *Config) pipelineNames() (names []string) {
	for i := range c.Pipelines {
		names = append(names, c.Pipelines[i].Name)
	}
	return names
}

func (c *Config) embeddedClickHouse() bool { return c.ClickHouse.DSN == "" }

// path returns a name inside the data folder.
func (c *Config) path(name ...string) string {
	return filepath.Join(append([]string{c.Data}, name...)...)
}

// modelsDir returns the registry's folder.
func (c *Config) modelsDir() string {
	if c.Models.Dir != "" {
		return c.Models.Dir
	}
	return c.path("models")
}

// readings says what becomes of the pipeline's rows.
func (p *Pipeline) readings() processors.Readings {
	if p.Readings == nil {
		return processors.Default().Readings
	}
	return *p.Readings
}

// readingsTopic returns where a pipeline's readings go, if it publishes them.
func (c *Config) readingsTopic(p *Pipeline) string {
	if t := p.readings().Topic; t != "" {
		return t
	}
	return c.Topics.Readings
}

// recipe returns the pipeline's recipe with its signals filled in.
func (p *Pipeline) recipe() model.Recipe {
	if p.Window == nil {
		return model.Recipe{Signals: p.Source.Columns()}
	}
	r := p.Window.Recipe
	if len(r.Signals) == 0 {
		r.Signals = p.Source.Columns()
	}
	return r
}
