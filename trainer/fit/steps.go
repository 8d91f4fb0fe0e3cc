package fit

import "math/rand/v2"

// Steps takes a training's optimiser steps one by one, for those who measure them. It is for one goroutine.
type Steps struct {
	step *stepper
	rng  *rand.Rand
	set  lessons
	rows []int
	rate float64
}

// NewSteps begins a training of a network (Network, Classifier, Autoencoder, Detector) on the first rows of its set, a batch of them, at c's learning rate. ONNX Runtime must be open.
func NewSteps(net network, set lessons, c Config) (*Steps, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(c.Seed, 0x616e646f6e)) //nolint:gosec // a seed, not a secret
	s, err := newStepper(net, c, net.start(rng))
	if err != nil {
		return nil, err
	}
	rows := make([]int, min(c.Batch, set.Len()))
	for i := range rows {
		rows[i] = i
	}
	return &Steps{s, rng, set, rows, c.LearningRate}, nil
}

// Step learns from the batch once and returns its mean loss before.
func (s *Steps) Step() (float64, error) {
	loss, err := s.step.step(s.set, s.rows, s.rate, s.rng)
	return loss / float64(len(s.rows)), err
}

// Close frees what it holds.
func (s *Steps) Close() { s.step.close() }
