package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"andon/bench/house"
	"andon/event"
	"andon/ingest/video"
	"andon/model"
	"andon/model/ort"
	"andon/processors/vision/boxes"
	"andon/trainer/evaluate"
)

// missed plays a defect that a model misses, with the real program: photos of steel strips come as frames of a camera, and a first model is trained of all classes but one. Then that one comes, a person marks some of
// it, and the loop trains, examines and judges a challenger. Every step is timed from the person's word on.
type missed struct {
	binary, dir, data string
	class             string
	marked, retrain   int
	keep              bool
}

const (
	missedPipeline = "steel"
	missedCamera   = "line"
	missedFrames   = "steel.frames"
	missedSide     = 64
	missedGoal     = 180 * time.Second
)

// strip is a photo as a frame.
type strip struct {
	class    string
	number   int
	captured time.Time
	jpeg     []byte
}

// strips reads the photos in the order in which the line shows them: ten neighbouring numbers of a class, which may be of one strip, in a minute; the classes in turns, and last the one that comes later.
func (m *missed) strips() (known, late []strip, classes []string, err error) {
	z, err := zip.OpenReader(filepath.Join(m.data, "defects_neu_det", "images.zip"))
	if err != nil {
		return nil, nil, nil, err
	}
	defer z.Close()
	groups := map[string]map[int][]strip{}
	for _, f := range z.File {
		if path.Ext(f.Name) != ".jpg" {
			continue
		}
		class := path.Dir(f.Name)
		number, err := strconv.Atoi(strings.TrimSuffix(f.Name[strings.LastIndexByte(f.Name, '_')+1:], ".jpg"))
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		r, err := f.Open()
		if err != nil {
			return nil, nil, nil, err
		}
		jpeg, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		if groups[class] == nil {
			groups[class] = map[int][]strip{}
			classes = append(classes, class)
		}
		g := (number - 1) / block
		groups[class][g] = append(groups[class][g], strip{class: class, number: number, jpeg: jpeg})
	}
	slices.Sort(classes)
	if groups[m.class] == nil {
		return nil, nil, nil, fmt.Errorf("-class %s: there are %s", m.class, strings.Join(classes, ", "))
	}
	minute := time.Now().Add(-24 * time.Hour).UTC().Truncate(time.Minute)
	place := func(all []strip) (out []strip) {
		slices.SortFunc(all, func(a, b strip) int { return a.number - b.number })
		for i := range all {
			all[i].captured = minute.Add(time.Duration(i) * time.Minute / block)
		}
		minute = minute.Add(time.Minute)
		return all
	}
	for g := range 240/block + 1 {
		for _, c := range classes {
			if c != m.class && groups[c][g] != nil {
				known = append(known, place(groups[c][g])...)
			}
		}
	}
	for g := range 240/block + 1 {
		if groups[m.class][g] != nil {
			late = append(late, place(groups[m.class][g])...)
		}
	}
	return known, late, classes, nil
}

func (m *missed) config(libraries string, classes []string, known int) string {
	return fmt.Sprintf(`
libraries: %q
flush: {interval: 300ms}
trainer: {check: 500ms}
pipelines:
  - name: %s
    partitions: 1
    source: {topic: %s}
    vision: {max_age: 0s, newest: false, keep: {every: 1ms}}
    drift: {enabled: false}
    model:
      task: classification
      warm: true
      settle: 3s
      epochs: %d
      patience: %d
      batch: 32
      picture: {width: %d, height: %d, labels: [%s], unseen: [%s], threshold: 0, stages: [16, 32, 64, 128], min_frames: %d, block: 1m,
                augment: {mirror: true, flip: true, turn: true, shift: 0.06, brightness: 0.1, contrast: 0.2}}
    loop: {cooldown: 0s, approval: ask}
`, libraries, missedPipeline, missedFrames, m.retrain, m.retrain, missedSide, missedSide, strings.Join(classes, ", "), m.class, known)
}

func (m *missed) run(ctx context.Context) error {
	known, late, classes, err := m.strips()
	if err != nil {
		return err
	}
	if m.marked < 1 || m.marked > len(late) {
		return fmt.Errorf("-marked: %d is not between 1 and %d", m.marked, len(late))
	}
	binary, err := filepath.Abs(m.binary)
	if err != nil {
		return err
	}
	if m.dir == "" {
		if m.dir, err = os.MkdirTemp("", "andon-missed-"); err != nil {
			return err
		}
		if !m.keep {
			defer os.RemoveAll(m.dir)
		}
	}
	ready, cancel := context.WithTimeout(ctx, 2*time.Minute)
	up, err := house.Open(ready, binary, m.dir, m.config(filepath.Join(filepath.Dir(binary), "..", "lib"), classes, len(known)*2/3))
	cancel()
	if err != nil {
		return err
	}
	h := witness{up}
	defer h.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(h.Kafka))
	if err != nil {
		return err
	}
	defer client.Close()
	began := time.Now()
	say := func(format string, a ...any) {
		fmt.Printf("%7.1f s  %s\n", time.Since(began).Seconds(), fmt.Sprintf(format, a...))
	}
	say("%d photos of %d classes come, and what they show; %s is not among them; %s", len(known), len(classes)-1, m.class, load())
	if err := show(ctx, client, known, 0); err != nil {
		return err
	}
	if err := h.await(ctx, "stored photos", 5*time.Minute, func() (bool, error) {
		n, err := h.number(ctx, "SELECT count() FROM andon.frames")
		return int(n) == len(known), err
	}); err != nil {
		return err
	}
	if err := h.tell(ctx, known, false); err != nil {
		return err
	}
	champion := ""
	if err := h.await(ctx, "a first champion", 15*time.Minute, func() (bool, error) {
		champion, err = h.Champion(ctx, missedPipeline)
		return champion != "", err
	}); err != nil {
		return err
	}
	say("champion %s: %s", champion, h.detail(ctx, champion))

	if err := show(ctx, client, late, len(known)); err != nil {
		return err
	}
	if err := h.await(ctx, "scored photos", 5*time.Minute, func() (bool, error) {
		n, err := h.number(ctx, fmt.Sprintf("SELECT count() FROM andon.frames WHERE status = 'scored' AND sequence >= %d", len(known)))
		return int(n) == len(late), err
	}); err != nil {
		return err
	}
	rows, err := h.SQL(ctx, fmt.Sprintf("SELECT concat(label, ' ', toString(count())) FROM andon.frames WHERE status = 'scored' AND sequence >= %d GROUP BY label ORDER BY count() DESC", len(known)))
	if err != nil {
		return err
	}
	var calls []string
	for _, r := range rows {
		calls = append(calls, fmt.Sprint(r[0]))
	}
	say("%d photos of %s come, which it calls %s", len(late), m.class, strings.Join(calls, ", "))

	// From here on the clock counts.
	marks := late[:m.marked]
	began = time.Now()
	say("a person marks %d of them as missed; %s", len(marks), load())
	if err := h.tell(ctx, marks, true); err != nil {
		return err
	}
	if err := h.await(ctx, "golden ones", time.Minute, func() (bool, error) {
		n, err := h.number(ctx, fmt.Sprintf("SELECT count() FROM andon.golden WHERE pipeline = '%s' AND label = '%s' AND weight = 5", missedPipeline, m.class))
		return int(n) == len(marks), err
	}); err != nil {
		return err
	}
	golden := time.Since(began)
	say("they are golden, and in what the next training reads, with the weight of five others each")
	var challenger string
	var took [3]time.Duration
	for i, stage := range []string{event.StageTrigger, event.StageTrain, event.StageGate} {
		d, err := h.decided(ctx, stage, began, 15*time.Minute)
		if err != nil {
			return err
		}
		took[i] = time.Since(began)
		challenger = d.Challenger
		say("%s %s: %s", d.Stage, d.Verdict, d.Reason)
		if d.Verdict == event.DecidedFailed {
			return errors.New("the campaign failed")
		}
	}
	total := took[2]
	var tables []evaluate.Table
	if err := h.Ask(ctx, "GET", "/api/v1/evaluations?pipeline="+missedPipeline+"&limit=1", nil, &tables); err != nil {
		return err
	}
	if len(tables) == 1 {
		t := &tables[0]
		for _, name := range []string{evaluate.All, "class " + m.class, "golden"} {
			a, b := t.Cell(name, champion), t.Cell(name, challenger)
			if a == nil || b == nil {
				continue
			}
			frames := 0
			for _, s := range t.Scenarios {
				if s.Name == name {
					frames = s.Windows
				}
			}
			fmt.Printf("           %s: %d frames, error of the champion %.1f %%, of the challenger %.1f %%\n", name, frames, 100*float64(a.Value), 100*float64(b.Value))
		}
	}
	if rest := late[m.marked:]; len(rest) > 0 {
		before, err := m.finds(ctx, h, champion, rest)
		if err != nil {
			return err
		}
		after, err := m.finds(ctx, h, challenger, rest)
		if err != nil {
			return err
		}
		fmt.Printf("           of %d photos of %s that nobody marked the champion finds %d, the challenger %d\n", len(rest), m.class, before, after)
	}
	verdict := "met"
	if total > missedGoal {
		verdict = "missed"
	}
	fmt.Printf("missed: golden and to be learned from after %.1f s (goal 2), campaign after %.1f s, trained after %.1f s, judged by the gate after %.1f s (goal %.0f: %s); %s\n",
		golden.Seconds(), took[0].Seconds(), took[1].Seconds(), total.Seconds(), missedGoal.Seconds(), verdict, load())
	if m.keep {
		fmt.Println("the page stays up until you interrupt:", h.Console)
		<-ctx.Done()
	}
	return nil
}

// show sends photos as frames, as fast as the appliance keeps them.
func show(ctx context.Context, client *kgo.Client, all []strip, first int) error {
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for i, s := range all {
		<-tick.C
		f := video.Frame{Camera: missedCamera, Captured: s.captured, Sequence: int64(first + i), JPEG: s.jpeg}
		r, err := f.Record()
		if err != nil {
			return err
		}
		out := &kgo.Record{Topic: missedFrames, Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
		if err := client.ProduceSync(ctx, out).FirstErr(); err != nil {
			return fmt.Errorf("send a frame: %w", err)
		}
	}
	return nil
}

// finds counts the photos of the late class that a version calls so, through its file and the decoder that serves.
func (m *missed) finds(ctx context.Context, h witness, version string, photos []strip) (n int, err error) {
	file := filepath.Join(m.dir, version+".onnx")
	if _, err := h.Command(ctx, "model", "pull", version, "--pipeline", missedPipeline, "--output", file); err != nil {
		return 0, err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	mo, err := model.Parse(data)
	if err != nil {
		return 0, err
	}
	s, err := ort.NewSession(data, ort.Options{})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	turbo, _ := video.OpenTurbo("") // without it image/jpeg decodes
	decoder, err := video.NewDecoder(video.DefaultDecoding(), turbo)
	if err != nil {
		return 0, err
	}
	defer decoder.Close()
	var planes []float32
	for _, p := range photos {
		if planes, err = decoder.Append(planes[:0], p.jpeg, video.Plan{Width: mo.Picture.Width, Height: mo.Picture.Height, Mean: mo.Picture.Mean, Std: mo.Picture.Std}); err != nil {
			return 0, err
		}
		in, err := ort.Wrap(planes, 1, 3, int64(mo.Picture.Height), int64(mo.Picture.Width))
		if err != nil {
			return 0, err
		}
		got, err := s.Compute([]ort.Value{in})
		in.Close()
		if err != nil {
			return 0, err
		}
		var outs []model.Tensor
		for i, a := range got {
			t := model.Tensor{Name: s.Outputs()[i].Name, Data: a.Data}
			for _, d := range a.Shape {
				t.Shape = append(t.Shape, int(d))
			}
			outs = append(outs, t)
		}
		_, label, _, err := boxes.Read(mo.Picture, outs, 0, nil)
		if err != nil {
			return 0, err
		}
		if label == m.class {
			n++
		}
	}
	return n, nil
}

// witness is the appliance as the play asks it.
type witness struct{ *house.House }

// await asks until something is so; an error of so is asked again until the time is over.
func (h witness) await(ctx context.Context, what string, within time.Duration, so func() (bool, error)) error {
	deadline := time.Now().Add(within)
	for {
		ok, err := so()
		if ok {
			return nil
		}
		if err := h.Alive(); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("no %s within %v: %w", what, within, errors.Join(err, errors.New(h.Tail())))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (h witness) number(ctx context.Context, query string) (f float64, err error) {
	rows, err := h.SQL(ctx, query)
	if err == nil && len(rows) == 1 {
		_, err = fmt.Sscan(fmt.Sprint(rows[0][0]), &f)
	}
	return f, err
}

// tell tells what photos show, as a person does on the page.
func (h witness) tell(ctx context.Context, all []strip, missed bool) error {
	type label struct {
		Pipeline string `json:"pipeline"`
		Asset    string `json:"asset"`
		Time     string `json:"time"`
		Label    string `json:"label"`
		Who      string `json:"who"`
	}
	for chunk := range slices.Chunk(all, 500) {
		var labels []label
		for _, s := range chunk {
			labels = append(labels, label{missedPipeline, missedCamera, s.captured.Format(time.RFC3339Nano), s.class, "inspector"})
		}
		if err := h.Ask(ctx, "POST", "/api/v1/labels", map[string]any{"labels": labels, "missed": missed}, nil); err != nil {
			return err
		}
	}
	return nil
}

// detail is what the trainer said of a version.
func (h witness) detail(ctx context.Context, version string) string {
	rows, err := h.SQL(ctx, "SELECT detail FROM andon.trainings WHERE state = 'finished' AND version = '"+version+"'")
	if err != nil || len(rows) == 0 {
		return "trained"
	}
	return fmt.Sprint(rows[0][0])
}

// decided waits for a stage's decision that is no wait.
func (h witness) decided(ctx context.Context, stage string, since time.Time, within time.Duration) (d house.Decision, err error) {
	err = h.await(ctx, "decision of the stage "+stage, within, func() (bool, error) {
		all, err := h.Decisions(ctx, missedPipeline)
		if err != nil {
			return false, err
		}
		for _, x := range slices.Backward(all) {
			if x.Stage == stage && x.Verdict != event.DecidedWait && x.Time.After(since) {
				d = x
				return true, nil
			}
		}
		return false, nil
	})
	return d, err
}
