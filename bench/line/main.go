// Command line measures the whole line, from a Kafka topic to ClickHouse, on one machine.
//
//	go run ./bench/line                              all but delivery, at a modest size
//	go run ./bench/line -run ratio -rounds 7         one part, longer
//	go run ./bench/line -run ingest -rows 5000000    the full load
//	go run ./bench/line -run delivery                the price of exactly once; needs Java and make deps-kafka
//
// ratio: scores per CPU-second of the line (topic, decoding, windows, GRU, ClickHouse, commit; the embedded broker and the embedded ClickHouse included)
// against a bare loop over the same ONNX file on windows that are ready, turn by turn in one run; and where the rest goes.
// watch: CPU time a score with and without the watch for drift and the panel that judges what it counts, turn by turn in one run; and what of it goes where.
// ingest: rows of 200 bytes from a topic to ClickHouse without a model: rows per second and per CPU-second, resident memory, and where the time goes.
// wide: the same with nested rows of 1.6 KB and 98 signals: MB of JSON per second and per CPU-second.
// visible: rows come at a steady rate, and a reader of its own asks ClickHouse when it sees them: time from Kafka's acknowledgement, at a flush a second.
// delivery: exactly once against at least once, turn by turn: into an Apache Kafka by transactions, and into ClickHouse by intents and deduplication tokens.
// sql: the everyday questions to a store of 300,000 scores, as answered by the views, through the reader's connection.
//
// Each part has a data folder, a broker and a ClickHouse of its own, which are removed in the end. Topics are filled before the clock starts, by a process of
// their own. CPU time is that of this process and of the ClickHouse child, also what the child still does after the last row was stored (merges).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"andon/model/ort"
	"andon/sinks/clickhouse/engine"
)

// config is what the flags say.
type config struct {
	demo     demo
	lib      string
	dir      string
	profiles string
	log      *slog.Logger
	progress io.Writer

	rounds    int
	scoreRows int
	networks  []network

	rows        int
	windows     bool
	compression string

	wideRows int

	visibleFor  time.Duration
	visibleRate int

	scores  int
	answers int

	deliveryRows   int
	deliveryRounds int
	deliveryJobs   []*job
}

// network is a size of the scoring model.
type network struct{ layers, hidden int }

func (n network) String() string { return fmt.Sprintf("%dx%d", n.layers, n.hidden) }

func main() {
	// The two children that this program is, too.
	if len(os.Args) > 1 && os.Args[1] == "engine" {
		os.Exit(engine.Child(os.Args[2:]))
	}
	if len(os.Args) > 1 && os.Args[1] == "fill" {
		if err := fill(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "line fill:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "line:", err)
		os.Exit(1)
	}
}

// parts run when none is named, all but the last.
var parts = []string{"ratio", "watch", "ingest", "wide", "visible", "sql", "delivery"}

func run(ctx context.Context, args []string, out io.Writer) error {
	d, err := readDemo()
	if err != nil {
		return err
	}
	f := flag.NewFlagSet("line", flag.ContinueOnError)
	list := f.String("run", strings.Join(parts[:len(parts)-1], ","), "parts to run; delivery, too, which needs Java and make deps-kafka")
	jsonFile := f.String("json", "", "file for the results as JSON; - is standard output, instead of the tables")
	verbose := f.Bool("v", false, "show the rooms' own logs")
	c := config{demo: d, progress: os.Stderr}
	f.StringVar(&c.lib, "lib", "lib", "folder of the native libraries")
	f.StringVar(&c.dir, "dir", "", "folder for what is written meanwhile; empty: the system's temporary folder")
	f.StringVar(&c.profiles, "profiles", "", "folder for the CPU profiles, which stay; empty: the system's temporary folder")
	f.IntVar(&c.rounds, "rounds", 5, "ratio, watch: rounds, of which the median counts; one more before them warms up")
	f.IntVar(&c.scoreRows, "score-rows", 200_000, "ratio, watch: rows a round, of 100 assets")
	f.IntVar(&c.demo.Window.Recipe.Baseline, "baseline", d.Window.Recipe.Baseline, "ratio: slots of the baseline")
	hidden := f.Int("hidden", d.Model.Hidden, "ratio: units a layer of the network")
	layers := f.Int("layers", d.Model.Layers, "ratio: layers of the network")
	more := f.String("networks", "2x64", "ratio: further networks, as layers x units, separated by commas")
	f.IntVar(&c.rows, "rows", 1_000_000, "ingest: rows")
	f.IntVar(&c.wideRows, "wide-rows", 500_000, "wide: rows")
	f.DurationVar(&c.visibleFor, "visible-for", 30*time.Second, "visible: how long rows come")
	f.IntVar(&c.visibleRate, "visible-rate", 5000, "visible: rows a second")
	f.BoolVar(&c.windows, "windows", false, "ingest: make windows too, though no model scores them")
	f.StringVar(&c.compression, "compression", "lz4", "compression of the topics: lz4, snappy, zstd or none")
	f.IntVar(&c.scores, "scores", 300_000, "sql: scores in the store, of 100 assets")
	f.IntVar(&c.answers, "answers", 50, "sql: how often each question is asked")
	f.IntVar(&c.deliveryRows, "delivery-rows", 500_000, "delivery: rows a turn")
	f.IntVar(&c.deliveryRounds, "delivery-rounds", 4, "delivery: rounds of a turn each, of which the median counts; one more before them warms up")
	jobList := f.String("delivery-jobs", "map,windows,store", "delivery: jobs: map (readings published, not stored), readings (published and stored), windows (aggregates published, and stored with the readings), store (readings into ClickHouse alone)")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("%q is not a flag: name parts with -run", f.Arg(0))
	}
	wanted := strings.Split(*list, ",")
	for _, w := range wanted {
		if !slices.Contains(parts, w) {
			return fmt.Errorf("-run: %q is not one of %s", w, strings.Join(parts, ", "))
		}
	}
	if c.deliveryJobs, err = findJobs(*jobList); err != nil {
		return err
	}
	if c.deliveryRounds < 1 || c.deliveryRows < 10_000 {
		return errors.New("-delivery-rounds must be at least 1, -delivery-rows at least 10000")
	}
	if c.rounds < 1 || c.scoreRows < 10_000 || c.rows < 10_000 || c.wideRows < 10_000 || c.visibleRate < 10 || c.visibleFor < 3*time.Second || c.scores < 10_000 || c.answers < 1 || c.demo.Window.Recipe.Baseline < 0 {
		return errors.New("-rounds and -answers must be at least 1, -score-rows, -rows, -wide-rows and -scores at least 10000, -visible-rate 10, -visible-for 3s, -baseline at least 0")
	}
	c.networks = append(c.networks, network{*layers, *hidden})
	if c.networks, err = addNetworks(c.networks, *more); err != nil {
		return err
	}
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelInfo
	}
	c.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	if c.profiles == "" {
		c.profiles = os.TempDir()
	}
	if err := os.MkdirAll(c.profiles, 0o755); err != nil {
		return err
	}
	if err := ort.Open(filepath.Join(c.lib, "libonnxruntime.so")); err != nil {
		return err
	}

	r := newReport(args)
	for _, part := range wanted {
		switch part {
		case "ratio":
			r.Ratio, err = c.ratio(ctx)
		case "watch":
			r.Watch, err = c.watch(ctx)
		case "ingest":
			r.Ingest, err = c.ingest(ctx)
		case "wide":
			r.Wide, err = c.wide(ctx)
		case "visible":
			r.Visible, err = c.visible(ctx)
		case "sql":
			r.SQL, err = c.sql(ctx)
		case "delivery":
			r.Delivery, err = c.delivery(ctx)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", part, err)
		}
	}
	if *jsonFile == "-" {
		return r.json(out)
	}
	if err := r.table(out); err != nil {
		return err
	}
	if *jsonFile == "" {
		return nil
	}
	file, err := os.Create(*jsonFile)
	if err != nil {
		return err
	}
	return errors.Join(r.json(file), file.Close())
}

func addNetworks(all []network, list string) ([]network, error) {
	for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		l, h, ok := strings.Cut(text, "x")
		layers, lerr := strconv.Atoi(l)
		hidden, herr := strconv.Atoi(h)
		if err := errors.Join(lerr, herr); !ok || err != nil || layers < 1 || hidden < 1 {
			return nil, fmt.Errorf("-networks: %q is not layers x units, as 2x64", text)
		}
		if n := (network{layers, hidden}); !slices.Contains(all, n) {
			all = append(all, n)
		}
	}
	return all, nil
}

func (c *config) say(format string, args ...any) {
	fmt.Fprintf(c.progress, format+"\n", args...)
}
