package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"andon/ingest"
	"andon/model/ort"
	"andon/scorer/gpu"
	"andon/trainer"
)

// trainerCommand is a worker: it takes trainings from the topic of jobs.
type trainerCommand struct {
	ConfigFlags
	Name       string        `help:"The worker's name; without it the machine's and the process's number." placeholder:"NAME"`
	Kafka      []string      `help:"Brokers, where the configuration does not name them and no appliance runs on the data folder." placeholder:"HOST:PORT,…"`
	ClickHouse string        `name:"clickhouse" help:"ClickHouse, likewise." placeholder:"DSN" env:"ANDON_CLICKHOUSE"`
	Jobs       int           `help:"End after so many jobs; 0 goes on." placeholder:"N"`
	Idle       time.Duration `help:"End when no job came for so long; 0 waits." placeholder:"DURATION"`
	Nice       int           `help:"How far it stands back behind a live line on its machine, 0 to 19." default:"10"`
	Listen     string        `help:"Address of its /metrics and /healthz; without it there are none." placeholder:"HOST:PORT"`
}

// Help is what --help says beyond the flags.
func (trainerCommand) Help() string {
	return `Takes trainings that an appliance with trainer.workers.by: kafka puts into the topic of jobs, one at a time, reads rows and labels from ClickHouse, and hands the model back through Kafka: of the
configuration it needs kafka, clickhouse and topics, and for frames evidence.dir, where the appliance's kept frames are. Settings of pipelines come with the job; a program that network: command names must be on the worker's machine, which keeps its log. SIGTERM gives the job at hand back.`
}

func (c *trainerCommand) Run(t *talk) error {
	cfg, err := c.load(func(cfg *Config) { cfg.named(c.Kafka, c.ClickHouse) })
	if err != nil {
		return err
	}
	if c.Nice < 0 || c.Nice > 19 || c.Jobs < 0 || c.Idle < 0 {
		return usage(errors.New("--nice is between 0 and 19, --jobs and --idle are 0 or more"))
	}
	log := newLogger(cfg.Log, t.err).With("room", "worker")
	at, err := cfg.beside()
	if err != nil {
		return err
	}
	if c.Name == "" {
		host, err := os.Hostname()
		if err != nil {
			host = "worker"
		}
		c.Name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	if err := lowerPriority(c.Nice); err != nil {
		log.Warn("it runs at the priority of what else runs here", "error", err)
	}
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	team := newCrew(t.ctx, 2)
	devices, err := c.devices(cfg, log, reg)
	if err != nil {
		return err
	}
	if devices != nil {
		defer devices.Close()
		team.run(1, "devices", devices.Run)
	}
	local, err := newPupil(t.ctx, cfg, at, log, reg)
	if err != nil {
		return err
	}
	defer local.close()
	local.Meters, local.Dir = meters(devices), cfg.trainingsDir()

	if err := ingest.EnsureTopics(t.ctx, cfg.Kafka, nil, slog.New(slog.DiscardHandler)); err != nil { // one clear error where there is no broker
		return environment(err)
	}
	publisher, err := newPublisher(cfg, cfg.Kafka, log, reg)
	if err != nil {
		return environment(err)
	}
	defer publisher.Close()
	board, err := publisher.Board(t.ctx, cfg.boardTopics(), cfg.Models.MaxBytes, log)
	if err != nil {
		return environment(fmt.Errorf("%w: is trainer.workers.by: kafka set for the appliance, and has it been started?", err))
	}
	defer board.Close()
	worker := &trainer.Worker{Name: c.Name, Board: board, Local: local.Local, Section: readSection, Jobs: c.Jobs, Idle: c.Idle, Log: log}
	worker.Register(reg)
	if c.Listen != "" {
		page, err := net.Listen("tcp", c.Listen)
		if err != nil {
			return environment(err)
		}
		log.Info("metrics", "address", page.Addr().String())
		team.run(1, "metrics", func(ctx context.Context) error { return serveMetrics(ctx, page, reg) })
	}
	fmt.Fprintf(t.err, "worker %s takes jobs from %s\n", c.Name, cfg.Topics.Jobs)
	team.run(0, "worker", func(ctx context.Context) error {
		err := worker.Run(ctx)
		team.stop() // it has done what it was to do
		return err
	})
	return team.wait()
}

// devices finds the NVIDIA devices and opens ONNX Runtime: of its build for CUDA where there are some, since jobs may ask for it.
func (c *trainerCommand) devices(cfg *Config, log *slog.Logger, reg prometheus.Registerer) (*gpu.Watcher, error) {
	library := cfg.runtime()
	every := cfg.Scorer.DevicesEvery
	if every == 0 {
		every = 5 * time.Second
	}
	devices, err := gpu.Open(gpu.Library(), func() float64 { return 0 }, every, log, reg)
	if err != nil {
		log.Info("no NVIDIA device is used", "why", err)
		devices = nil
	} else if name := cfg.library(filepath.Join("gpu", "libonnxruntime.so")); exists(name) {
		library = name
	}
	return devices, environment(ort.Open(library))
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// serveMetrics answers until ctx ends.
func serveMetrics(ctx context.Context, at net.Listener, reg prometheus.Gatherer) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() }) // nobody is kept waiting for metrics
	defer stop()
	if err := server.Serve(at); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
