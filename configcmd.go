package main

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

type configCommand struct {
	Check configCheck `cmd:"" help:"Tell every fault of the configuration; exit 2 if there is one."`
	Print configPrint `cmd:"" help:"Print the configuration in force, defaults included; secrets are hidden."`
}

type configCheck struct{ ConfigFlags }

func (c *configCheck) Run(t *talk) error {
	cfg, err := c.load(nil)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(t.out, "the configuration holds: %d pipelines\n", len(cfg.Pipelines))
	return err
}

type configPrint struct{ ConfigFlags }

func (c *configPrint) Run(t *talk) error {
	cfg, err := c.load(nil)
	if err != nil {
		return err
	}
	e := yaml.NewEncoder(t.out)
	e.SetIndent(2)
	if err := e.Encode(cfg); err != nil {
		return err
	}
	return e.Close()
}
