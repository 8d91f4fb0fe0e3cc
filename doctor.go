package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"

	"andon/event"
	"andon/ingest"
	"andon/model/ort"
	"andon/model/s3"
	"andon/sinks/clickhouse"
)

type doctorCommand struct {
	ConfigFlags
	JSON bool `name:"json" help:"Print the findings as JSON."`
}

// finding is one thing that was looked at.
type finding struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	// Detail is what was seen, or what is wrong and what to do.
	Detail string `json:"detail"`
}

func (c *doctorCommand) Run(t *talk) error {
	findings := c.examine(t.ctx)
	bad := 0
	for _, f := range findings {
		if !f.OK {
			bad++
		}
	}
	if c.JSON {
		if err := json.NewEncoder(t.out).Encode(findings); err != nil {
			return err
		}
	} else {
		for _, f := range findings {
			mark := "✓"
			if !f.OK {
				mark = "✗"
			}
			fmt.Fprintf(t.out, "%s %-14s %s\n", mark, f.Check, strings.ReplaceAll(f.Detail, "\n", "\n"+strings.Repeat(" ", 17)))
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d checks found a fault", bad, len(findings))
	}
	return nil
}

func (c *doctorCommand) examine(ctx context.Context) []finding {
	var all []finding
	look := func(name string, f func() (string, error)) {
		detail, err := f()
		if err != nil {
			detail = err.Error()
		}
		all = append(all, finding{name, err == nil, detail})
	}
	cfg, err := c.load(nil)
	look("configuration", func() (string, error) {
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d pipelines", len(cfg.Pipelines)), nil
	})
	if err != nil {
		return all
	}
	quiet := slog.New(slog.DiscardHandler)
	running := false
	if _, err := findAppliance(cfg.Data, ""); err == nil {
		running = true
	}
	look("appliance", func() (string, error) {
		if running {
			return "one runs on " + cfg.Data, nil
		}
		return "none runs on " + cfg.Data, nil
	})
	look("onnx runtime", func() (string, error) {
		if err := ort.Open(cfg.runtime()); err != nil {
			return "", err
		}
		return ort.Version(), nil
	})
	if cfg.wantsCUDA() {
		look("cuda", func() (string, error) {
			if err := ort.Probe(ort.Options{Provider: ort.CUDA, Device: cfg.Scorer.Device}); err != nil {
				return "", fmt.Errorf("models will run on the CPU: %w", err)
			}
			return fmt.Sprintf("device %d computes", cfg.Scorer.Device), nil
		})
	}
	look("data folder", func() (string, error) { return dataFolder(cfg.Data) })
	look("memory", memory)
	if cfg.embeddedClickHouse() {
		look("engine library", func() (string, error) {
			name := cfg.library("libchdb.so")
			info, err := os.Stat(name)
			if err != nil {
				return "", fmt.Errorf("%w: run make deps, or set libraries", err)
			}
			if info.Size() < 100<<20 {
				return "", fmt.Errorf("%s is only %d bytes: it was not fetched whole; remove it and run make deps", name, info.Size())
			}
			return name, nil
		})
		look("terminals", func() (string, error) {
			f, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
			if err != nil {
				return "", fmt.Errorf("%w: the embedded ClickHouse needs a pseudo terminal; mount devpts, or set clickhouse.dsn", err)
			}
			return "/dev/ptmx", f.Close()
		})
	} else {
		look("clickhouse", func() (string, error) {
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			store, err := clickhouse.Open(ctx, cfg.ClickHouse, nil, quiet, prometheus.NewRegistry())
			if err != nil {
				return "", err
			}
			return cfg.ClickHouse.DSN.String(), store.Close()
		})
	}
	if cfg.embeddedBroker() {
		if !running {
			look("kafka port", func() (string, error) { return port(cfg.Broker.Listen, "--kafka-listen") })
		}
	} else {
		look("kafka", func() (string, error) {
			at := cfg.Kafka
			at.ConnectTimeout = min(at.ConnectTimeout, 10*time.Second)
			if err := ingest.EnsureTopics(ctx, at, nil, quiet); err != nil {
				return "", err
			}
			return strings.Join(at.Brokers, ", "), nil
		})
	}
	if at := cfg.Models.S3; at.Endpoint != "" {
		look("models bucket", func() (string, error) {
			store, err := s3.New(at, 1)
			if err == nil {
				err = store.Check(ctx)
			}
			if err != nil {
				return "", err
			}
			return at.Bucket + " at " + at.Endpoint, nil
		})
	}
	if !running {
		look("console port", func() (string, error) { return port(cfg.Console.Listen, "--listen") })
	}
	return all
}

func dataFolder(data string) (string, error) {
	if err := os.MkdirAll(data, 0o755); err != nil {
		return "", fmt.Errorf("%w: name another with --data", err)
	}
	f, err := os.CreateTemp(data, ".doctor-*")
	if err != nil {
		return "", fmt.Errorf("%w: name another with --data", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &st); err != nil {
		return "", err
	}
	free := event.Bytes(int64(st.Bavail) * st.Bsize)
	if free < 2<<30 {
		return "", fmt.Errorf("%s has %d MiB free: give it 2 GiB or more", data, free>>20)
	}
	abs, _ := filepath.Abs(data)
	return fmt.Sprintf("%s, %d GiB free", abs, free>>30), nil
}

func memory() (string, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return "", err
	}
	total := int64(info.Totalram) * int64(info.Unit)
	if total < 3<<30 {
		return "", fmt.Errorf("%d MiB: the appliance wants 4 GiB", total>>20)
	}
	return fmt.Sprintf("%d GiB", total>>30), nil
}

func port(address, flag string) (string, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		if errors.Is(err, unix.EADDRINUSE) {
			return "", fmt.Errorf("%s is taken by another program: stop it, or choose another with %s", address, flag)
		}
		return "", fmt.Errorf("%w: choose another with %s", err, flag)
	}
	return address + " is free", l.Close()
}
