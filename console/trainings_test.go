package console

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"andon/event"
)

// A run shows who trains and what it takes; where another worker begins anew, so do its epochs.
func TestTrainingByWorkers(t *testing.T) {
	all := newTrainings()
	step := event.Training{Run: "r", Pipeline: "pumps", State: event.TrainingWaiting, Epochs: 3, Time: 1e9, Loss: math.NaN(), ValLoss: math.NaN(), GPUSeconds: math.NaN(), Joules: math.NaN(), Detail: "it waits for a worker"}
	all.add(step)
	for epoch := 1; epoch <= 2; epoch++ {
		step.State, step.Epoch, step.Loss, step.ValLoss, step.Time = event.TrainingEpoch, epoch, 1, 2, step.Time+1e9
		step.Worker, step.CPUSeconds, step.Joules, step.Energy, step.Detail = "w1", float64(epoch), 7.5, "processors", ""
		all.add(step)
	}
	shows := func(want ...string) {
		t.Helper()
		runs, _ := all.since(0)
		js, err := json.Marshal(runs)
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(string(js), w) {
				t.Errorf("%s lacks %s", js, w)
			}
		}
	}
	shows(`"worker":"w1"`, `"cpu_seconds":2`, `"gpu_seconds":null`, `"joules":7.5`, `"energy":"processors"`, `"epoch":2`, `"losses":[{"epoch":1`)
	step.State, step.Epoch, step.Time, step.Detail = event.TrainingWaiting, 0, step.Time+1e9, "worker w1 fell silent; it waits for another worker"
	all.add(step)
	shows(`"state":"waiting"`, `"epoch":0`, `"losses":[]`, `fell silent`)
}
