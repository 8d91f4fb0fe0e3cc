package trainer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"andon/event"
	"andon/model"
	"andon/model/ort"
)

// Rebuilt is what came of making a model again.
type Rebuilt struct {
	// Model has the times, the meters' numbers and the names of its making from the old one, so that it is the same file where all else is the same.
	Model *model.Model
	// Differs says what is not as it was; none where the file is the same to the byte.
	Differs []string
	// Notes are about what lies around it, and may explain a difference: data that is gone, another processor, version of ONNX Runtime or of andon.
	Notes []string
}

// Rebuild does a model's training again, by what its lineage says: the settings (p is what Lineage.Section says), the data as far as it was stored then, the champion that it began with. It registers nothing.
// The error says why that cannot be done.
func (l *Local) Rebuild(ctx context.Context, p *Pipeline, was *model.Model, w Watcher) (*Rebuilt, error) {
	at := &was.Lineage
	past, ok := l.Source.(Past)
	switch {
	case at.Source != "":
		return nil, fmt.Errorf("model %s was pushed and not trained here: push the file with the SHA-256 %s again", was.Version, at.Source)
	case at.Section == "" || at.Marks == nil:
		return nil, fmt.Errorf("model %s was made by a version of andon that did not write down all that a model hangs on: train it anew", was.Version)
	case !ok:
		return nil, errors.New("the data cannot be read as it was then")
	}
	out := &Rebuilt{}
	now, err := past.Marks(ctx, p.Name)
	if err != nil {
		return nil, err
	}
	for _, part := range []struct {
		what      string
		then, now []event.Span
	}{{"rows", at.Marks.Rows, now.Rows}, {"frames", at.Marks.Frames, now.Frames}, {"labels", at.Marks.Labels, now.Labels}, {"scores", at.Marks.Scores, now.Scores}} {
		out.Notes = append(out.Notes, gone(part.what, part.then, part.now)...)
	}
	for _, e := range []struct{ what, then, now string }{{"processor", at.Machine, processor()}, {"ONNX Runtime", at.Runtime, ort.Version()}, {"andon", at.Code, code()}} {
		if e.then != e.now {
			out.Notes = append(out.Notes, fmt.Sprintf("the %s is another: %s then, %s now", e.what, or(e.then, "unknown"), or(e.now, "unknown")))
		}
	}
	again := *l
	again.Memory = event.Bytes(at.Memory)
	again.Get = func(pipeline, version string) (*model.Model, error) {
		m, err := l.Get(pipeline, version)
		if err == nil && digest(m.ONNX) != at.Start {
			err = fmt.Errorf("its file is not the one that was begun with: SHA-256 %s, not %s", digest(m.ONNX), at.Start)
		}
		return m, err
	}
	if at.Start == "" {
		again.Get = nil // it began from scratch
	} else if l.Get == nil {
		return nil, fmt.Errorf("model %s began with the parameters of %s, which is not to be had here", was.Version, at.Champion)
	}
	lessons, err := again.make(ctx, p, Job{ID: at.Run, Pipeline: p.Name, Champion: at.Champion, Since: at.Since, Marks: at.Marks, Watch: w}, at)
	if err != nil {
		err = fmt.Errorf("make %s again: %w", was.Version, err)
		for _, n := range out.Notes {
			err = fmt.Errorf("%w; %s", err, n)
		}
		return nil, err
	}
	out.Model = lessons[0].Model
	if !bytes.Equal(out.Model.ONNX, was.ONNX) {
		out.Differs = differences(was, out.Model)
	}
	return out, nil
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

// gone says what retention has taken of what there was.
func gone(what string, then, now []event.Span) (notes []string) {
	for _, t := range then {
		i := slices.IndexFunc(now, func(n event.Span) bool { return n.Topic == t.Topic && n.Partition == t.Partition })
		switch {
		case i < 0:
			notes = append(notes, fmt.Sprintf("the %s of %s/%d are gone, of the offsets %d to %d", what, t.Topic, t.Partition, t.First, t.Next-1))
		case now[i].First > t.First:
			notes = append(notes, fmt.Sprintf("the %s of %s/%d from %d up to %d are gone", what, t.Topic, t.Partition, t.First, now[i].First-1))
		}
	}
	return notes
}

// differences says in what two models of one lineage differ, what explains the rest first.
func differences(was, is *model.Model) (all []string) {
	add := func(what string, a, b any) {
		if x, y := fmt.Sprint(a), fmt.Sprint(b); x != y {
			all = append(all, fmt.Sprintf("%s: %s then, %s now", what, x, y))
		}
	}
	a, b := &was.Lineage, &is.Lineage
	add("the data's digest", a.Digest, b.Digest)
	add("windows", a.Windows, b.Windows)
	add("assets", a.Assets, b.Assets)
	add("offsets", a.Offsets, b.Offsets)
	if a.Query != b.Query {
		all = append(all, "the query that gave the rows")
	}
	if a.Section != b.Section {
		all = append(all, "the settings, as this version of andon writes them down")
	}
	add("the recipe", was.Recipe, is.Recipe)
	if was.Picture != nil && is.Picture != nil {
		add("the picture", *was.Picture, *is.Picture)
	}
	for _, name := range slices.Sorted(maps.Keys(was.Metrics)) {
		add(name, was.Metrics[name], is.Metrics[name])
	}
	if !bytes.Equal(was.Reference, is.Reference) {
		all = append(all, "the reference that drift is told by")
	}
	if len(all) == 0 {
		all = append(all, "the network's numbers: what was learned from is the same, and the arithmetic is not")
	}
	return all
}
