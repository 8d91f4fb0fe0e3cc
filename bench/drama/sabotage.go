package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"andon/event"
	"andon/model/onnx"
)

// sabotage brings a model that looks like any other and is wrong: it says of every engine that it fails within five cycles. It is let in as a file, for it runs and its numbers are finite; the gate finds out.
func (s *engines) sabotage(ctx context.Context) error {
	before, err := s.house.Champion(ctx, s.pipeline)
	if err != nil {
		return err
	}
	file, spec := filepath.Join(s.dir, "sabotage.onnx"), filepath.Join(s.dir, "sabotage.yaml")
	g := onnx.NewGraph("sabotage")
	x := g.Input("x", onnx.Float, append([]onnx.Dim{{Name: "n"}}, onnx.Fixed(20, len(signals))...)...)
	nothing := g.Op("Mul", []string{x, g.Floats("nothing", []int{1}, []float32{0})})
	sum := g.Op("ReduceSum", []string{nothing, g.Ints("axes", 1, 2)}, onnx.Int("keepdims", 0))
	g.Node("Add", []string{sum, g.Floats("five", []int{1}, []float32{5})}, []string{"life"})
	g.Output("life", onnx.Float, onnx.Dim{Name: "n"})
	if err := os.WriteFile(file, g.Model(), 0o644); err != nil {
		return err
	}
	text := fmt.Sprintf("name: sabotage\ntask: remaining-life\nunit: cycles\nhorizon: 30\ninputs: [{tensor: x, signals: [%s]}]\nvalue: {tensor: life}\nrisk: {tensor: life, map: logistic, half: 30, steep: -0.13}\n",
		strings.Join(signals, ", "))
	if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
		return err
	}
	version, err := s.house.Command(ctx, "model", "push", file, "--pipeline", pipeline, "--spec", spec, "--alias", "challenger", "--who", "saboteur", "--why", "trust me")
	if err != nil {
		return err
	}
	s.say("model %s is pushed as challenger", version)
	if _, err := s.decided(ctx, event.StageTrigger, event.DecidedGo, s.limit); err != nil {
		return err
	}
	d, err := s.decided(ctx, event.StageGate, event.DecidedNo, s.limit)
	if err != nil {
		return err
	}
	if d.Challenger != version {
		return fmt.Errorf("%w: the gate refused %s, and %s was sabotaged", errNot, d.Challenger, version)
	}
	s.bad = version
	return s.champions(ctx, before)
}

// force lets a person put the sabotaged model over the gate's no.
func (s *engines) force(ctx context.Context) error {
	before, err := s.house.Champion(ctx, s.pipeline)
	if err != nil {
		return err
	}
	if _, err := s.house.Command(ctx, "model", "promote", s.bad, "--pipeline", pipeline, "--who", "saboteur", "--why", "I know better than the gate"); err != nil {
		return err
	}
	began := time.Now()
	d, err := s.decided(ctx, event.StagePromote, event.DecidedGo, s.limit)
	if err != nil {
		return err
	}
	if d.Who != "saboteur" {
		return fmt.Errorf("%w: the promotion is on record as %s's", errNot, d.Who)
	}
	if d, err = s.decided(ctx, event.StageRollback, event.DecidedGo, s.limit); err != nil {
		return err
	}
	if d.Challenger != s.bad {
		return fmt.Errorf("%w: %s was rolled back, not %s", errNot, d.Challenger, s.bad)
	}
	s.say("it was champion for %.0f s", time.Since(began).Seconds())
	return s.champions(ctx, before)
}
