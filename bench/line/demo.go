package main

import (
	"fmt"

	"go.yaml.in/yaml/v3"

	"andon/deploy"
	"andon/ingest"
	"andon/processors/features"
	"andon/trainer"
)

// demo is the pipeline of the reference configuration that the line is measured with.
type demo struct {
	Name   string          `yaml:"name"`
	Source ingest.Source   `yaml:"source"`
	Window features.Config `yaml:"window"`
	Model  trainer.Spec    `yaml:"model"`
}

const demoName = "compressors"

func readDemo() (demo, error) {
	var file struct {
		Pipelines []yaml.Node `yaml:"pipelines"`
	}
	if err := yaml.Unmarshal(deploy.Config, &file); err != nil {
		return demo{}, fmt.Errorf("read the reference configuration: %w", err)
	}
	for _, node := range file.Pipelines {
		var head struct {
			Name string `yaml:"name"`
		}
		if err := node.Decode(&head); err != nil || head.Name != demoName {
			continue
		}
		var d demo
		if err := node.Decode(&d); err != nil {
			return demo{}, fmt.Errorf("read the reference configuration: pipeline %s: %w", demoName, err)
		}
		d.Source = d.Source.WithDefaults()
		d.Window.Recipe.Signals = d.Source.Signals
		return d, nil
	}
	return demo{}, fmt.Errorf("the reference configuration has no pipeline %s", demoName)
}
