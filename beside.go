package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"andon/model"
	"andon/sinks/clickhouse"
	"andon/sinks/clickhouse/engine"
)

// named takes the brokers and the ClickHouse that a command line names, if any, in place of the configuration's.
func (c *Config) named(brokers []string, dsn string) {
	if len(brokers) > 0 {
		c.Kafka.Brokers = brokers
	}
	if dsn != "" {
		c.ClickHouse.DSN = clickhouse.Secret(dsn)
	}
}

// beside finds brokers and ClickHouse for a process that works beside an appliance: those of the configuration, and where it names none, those of the appliance that runs on the data folder. at is nil where
// the configuration names a ClickHouse.
func (c *Config) beside() (at func() engine.Endpoint, err error) {
	if !c.embeddedBroker() && !c.embeddedClickHouse() {
		return nil, nil
	}
	a, err := readAddresses(c.Data)
	if err != nil {
		return nil, environment(err)
	}
	if c.embeddedClickHouse() {
		if a.Credentials == "" {
			return nil, usage(errors.New("the appliance uses a ClickHouse server of its own: name it with --clickhouse, or give its configuration with --config"))
		}
		place, err := engine.ReadCredentials(a.Credentials)
		if err != nil {
			return nil, environment(err)
		}
		at = func() engine.Endpoint { // where it is now: a restart gives it other ports
			if a, err := readAddresses(c.Data); err == nil && a.Credentials != "" {
				if now, err := engine.ReadCredentials(a.Credentials); err == nil {
					place = now
				}
			}
			return place
		}
	}
	if c.embeddedBroker() {
		c.Kafka.Brokers = []string{a.Kafka}
	}
	return at, nil
}

// openModelsBeside opens the models that an appliance has, to look at them.
func openModelsBeside(ctx context.Context, cfg *Config) (*model.Registry, error) {
	if cfg.Models.S3.Endpoint == "" {
		if _, err := os.Stat(cfg.modelsDir()); err != nil { // to open it would make it
			return nil, environment(fmt.Errorf("%w: name the data folder of the models with --data", err))
		}
	}
	models, err := openModels(ctx, cfg)
	return models, environment(err)
}
