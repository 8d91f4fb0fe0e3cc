package trainer

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/model"
	"andon/model/ort/orttest"
)

func make1(t *testing.T, w *warehouse, p Pipeline, j Job, shelf *shelf) []*Lesson {
	t.Helper()
	orttest.Open(t)
	l := Local{Source: w, Pipelines: []Pipeline{p}, Memory: Default().Memory}
	if shelf != nil {
		tr := Trainer{registry: shelf}
		l.Get = tr.champion
	}
	j.Pipeline = p.Name
	lessons, err := l.Make(context.Background(), j)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lessons {
		t.Log(l.Model.Network, l.Loss, l.Summary)
	}
	return lessons
}

func TestLSTM(t *testing.T) {
	var w warehouse
	fill(&w, 12)
	p := pumps()
	p.Spec.Network = "lstm"
	m := learn(t, &w, p)
	value, _ := verdict(t, m, wear(77, 60, 0))
	if m.Network != "lstm 1x8" || !(value[0] > value[len(value)-1]+15) || !(value[len(value)-1] < 10) {
		t.Errorf("%s says %v at the begin and %v at the end", m.Network, value[0], value[len(value)-1])
	}
}

// A wave is read back until it turns into something else.
func TestAutoencoderModel(t *testing.T) {
	p := thermometer()
	p.Spec.Network, p.Spec.Hidden, p.Spec.Epochs = Autoencoder, 12, 20
	rng := rand.New(rand.NewPCG(1, 1))
	wave := func(n int, broken int) (rows []event.Row) {
		for i := range n {
			v := math.Sin(float64(i)/3) + 0.05*rng.NormFloat64()
			if i >= broken {
				v = 2 * rng.NormFloat64()
			}
			rows = append(rows, event.Row{Time: int64(i) * hour, Values: []float64{v}})
		}
		return rows
	}
	var w warehouse
	w.put("m", wave(700, 700))
	m := learn(t, &w, p)
	_, risk := verdict(t, m, wave(200, 100))
	calm, wild := 0, 0
	for i, r := range risk {
		if r > 0.5 && i < 90 {
			calm++
		} else if r > 0.5 && i > 105 {
			wild++
		}
	}
	if m.Network != "autoencoder 12-3" || calm > 2 || wild < 60 {
		t.Errorf("%s alarms at %d calm windows of 90 and at %d wild ones of 91", m.Network, calm, wild)
	}
}

// A challenger begins where the champion is, by the champion's scale; where that cannot be it says so and begins anew.
func TestWarm(t *testing.T) {
	var w warehouse
	fill(&w, 12)
	p := pumps()
	first := make1(t, &w, p, Job{ID: "1"}, nil)[0]
	s := &shelf{}
	s.live = map[string]*model.Model{p.Name: first.Model}
	more := warehouse{labels: w.labels, rows: w.rows}
	fill(&more, 16)
	p.Spec.Warm, p.Spec.Epochs = true, 1
	warm := make1(t, &more, p, Job{ID: "2", Champion: first.Model.Version}, s)[0]
	p.Spec.Warm = false
	cold := make1(t, &more, p, Job{ID: "3", Champion: first.Model.Version}, s)[0]
	if !(warm.Loss < cold.Loss/2) || fmt.Sprint(warm.Model.Recipe.Scale) != fmt.Sprint(first.Model.Recipe.Scale) {
		t.Errorf("after one epoch the warm one has %v, the cold one %v", warm.Loss, cold.Loss)
	}
	p.Spec.Warm, p.Spec.Hidden = true, 9
	if other := make1(t, &more, p, Job{ID: "4", Champion: first.Model.Version}, s)[0]; !strings.Contains(other.Summary, "from scratch, since the champion gives no start") {
		t.Errorf("another network says %q", other.Summary)
	}
}

// The search finds nothing worse than the section's own settings would be after as many epochs, keeps what was asked for, and is the same each time.
func TestSearch(t *testing.T) {
	var w warehouse
	fill(&w, 12)
	p := pumps()
	p.Spec.LearningRate, p.Spec.Epochs = 0.0005, 4 // far too low: another must win
	own := make1(t, &w, p, Job{ID: "own"}, nil)[0]
	p.Spec.Search = Search{Trials: 6, Keep: 2, Networks: []string{"gru", "lstm"}}
	found := make1(t, &w, p, Job{ID: "found"}, nil)
	if len(found) != 2 || !(found[0].Loss <= found[1].Loss) || !(found[0].Loss < own.Loss) || !strings.Contains(found[0].Summary, "of 6 settings") {
		t.Errorf("%d were found, the best with %v, the section's own has %v", len(found), found[0].Loss, own.Loss)
	}
	again := make1(t, &w, p, Job{ID: "again"}, nil)
	if again[0].Loss != found[0].Loss || again[1].Model.Network != found[1].Model.Network {
		t.Error("the same seed found others")
	}
	p.Spec.Search.Budget = time.Nanosecond
	if late := make1(t, &w, p, Job{ID: "late"}, nil); len(late) != 1 || !strings.Contains(late[0].Summary, "best of 1 short trainings") && !strings.Contains(late[0].Summary, "short trainings") {
		t.Errorf("without time %d were made: %s", len(late), late[0].Summary)
	}
}
