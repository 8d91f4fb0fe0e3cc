package vision

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"andon/event"
	"andon/model"
	"andon/processors/vision/rules"
)

// Partition looks at the frames of one partition. Its methods are called by one goroutine.
type Partition struct {
	line      *Line
	topic     string
	partition int32
	decoder   Decoder
	cameras   map[string]*camera

	champion, canary *model.Model
	percent          float64
	// told is what was last said in the log of the model that is in use, failing the version that last could not look.
	told, failing string
	// version tells the models of the block's last scores.
	version string

	chunk  chunk
	keeper keeper
	shade  shade
	watch  *watch // of the champion; nil where frames are not watched
	trial  *watch // of the canary
}

// camera is what is remembered of one.
type camera struct {
	rules.Camera
	// Sampled is when a frame was last kept for training.
	Sampled int64
	// Watched is when a frame was last watched for drift.
	Watched int64
	plans   []Plan
	zones   []string // of the plans; none: the whole picture
	planned *model.Model
	said    []rules.Class // of the frame in hand
}

// Open begins a partition. Close ends it.
func (l *Line) Open(topic string, partition int32) (*Partition, error) {
	d, err := l.deps.Decoder()
	if err != nil {
		return nil, fmt.Errorf("open the decoder of frames: %w", err)
	}
	p := &Partition{line: l, topic: topic, partition: partition, decoder: d, cameras: map[string]*camera{}, watch: l.watch(), trial: l.watch()}
	p.keeper.open(l)
	p.shade.open(l)
	return p, nil
}

// Close frees what the partition holds; frames that are being kept are waited for.
func (p *Partition) Close() {
	p.keeper.close()
	p.shade.close()
	p.decoder.Close()
}

// Cameras returns how many cameras there is something remembered of.
func (p *Partition) Cameras() int { return len(p.cameras) }

// Version tells the models that scored since it was asked last.
func (p *Partition) Version() string {
	v := p.version
	p.version = ""
	return v
}

// Broken is a frame whose JPEG cannot be decoded.
type Broken struct {
	Offset int64
	Err    error
}

// See looks at frames, in the order of their offsets, and appends a Sight for each to dst. They must be all of their cameras' that wait: the older are dropped. received is when they
// arrived. An error is the scorer's, or that ctx is over.
func (p *Partition) See(ctx context.Context, frames []event.Frame, received int64, dst []event.Sight) ([]event.Sight, []Broken, error) {
	l := p.line
	var newest map[string]int
	if l.cfg.Newest {
		newest = make(map[string]int)
		for i := range frames {
			newest[frames[i].Camera] = i
		}
	}
	p.choose()
	first := len(dst)
	var broken []Broken
	for i := range frames {
		f := &frames[i]
		dst = append(dst, event.Sight{Pipeline: l.name, Camera: f.Camera, Captured: f.Captured, Sequence: f.Sequence, Width: f.Width, Height: f.Height, Bytes: len(f.JPEG),
			Position: event.Position{Topic: p.topic, Partition: p.partition, Offset: f.Offset}})
		s := &dst[len(dst)-1]
		now := l.now().UnixNano()
		m := p.champion
		if p.canary != nil && model.InShare(f.Camera, p.percent) {
			m = p.canary
		}
		switch {
		case newest != nil && newest[f.Camera] != i:
			p.drop(f, s, event.SightBusy, received, now)
		case l.cfg.MaxAge > 0 && now-f.Captured > int64(l.cfg.MaxAge):
			p.drop(f, s, event.SightLate, received, now)
		case m == nil:
			p.sample(f, s)
			p.drop(f, s, event.SightNoJudge, received, now)
		default:
			if p.chunk.model != nil && p.chunk.model != m {
				if err := p.score(ctx, dst, received); err != nil {
					return dst, broken, err
				}
			}
			if err := p.take(ctx, f, m, first+i); err != nil {
				if ctx.Err() != nil {
					return dst, broken, err
				}
				status := event.SightLost
				if !errors.Is(err, errLost) {
					status = event.SightBroken
					broken = append(broken, Broken{f.Offset, err})
				}
				p.drop(f, s, status, received, now)
			}
		}
		if len(p.chunk.frames) > 0 && (p.chunk.n >= l.cfg.Pictures || i == len(frames)-1) {
			if err := p.score(ctx, dst, received); err != nil {
				return dst, broken, err
			}
			p.choose()
		}
	}
	return dst, broken, nil
}

// choose reads which models look from here on. It is called while no picture waits.
func (p *Partition) choose() {
	l := p.line
	p.champion = p.fitting(l.deps.Judge.Live(), "live model")
	p.canary = nil
	if l.deps.Judge.Canary != nil {
		var m *model.Model
		if m, p.percent = l.deps.Judge.Canary(); m != nil && (p.champion == nil || m.Version != p.champion.Version) {
			p.canary = p.fitting(m, "canary")
		}
	}
	if p.canary == nil && p.trial != nil && p.trial.model != nil && (p.champion == nil || p.champion.Version != p.trial.model.Version) {
		p.trial.turn(nil)
	}
}

// fitting returns the model if it is one of pictures, and says what is in use when that changes.
func (p *Partition) fitting(m *model.Model, what string) *model.Model {
	if m == nil {
		return nil
	}
	word := what + " " + m.Version
	if m.Picture == nil {
		if p.told != word {
			p.told = word
			p.line.log.Error("the model takes windows, and this pipeline has frames, so nothing is scored: promote a model of pictures", "model", m.Version, "as", what)
		}
		return nil
	}
	if what == "live model" && p.told != word {
		p.told = word
		p.line.log.Info("model in use", "model", m.Version)
	}
	return m
}

// drop says that a frame is not scored.
func (p *Partition) drop(f *event.Frame, s *event.Sight, status string, received, now int64) {
	s.Status, s.Age, s.Latency, s.ScoredAt = status, max(now-f.Captured, 0), max(now-received, 0), now
	p.line.meters.frames[status].Inc()
	p.show(f, s)
}

func (p *Partition) show(f *event.Frame, s *event.Sight) {
	if show := p.line.deps.Show; show != nil {
		show(p.line.name, f, s)
	}
}

func (p *Partition) camera(name string) *camera {
	c := p.cameras[name]
	if c == nil {
		if len(p.cameras) >= maxCameras { // whoever makes up names is bounded
			oldest := ""
			for n, o := range p.cameras {
				if oldest == "" || o.Last < p.cameras[oldest].Last || o.Last == p.cameras[oldest].Last && n < oldest {
					oldest = n
				}
			}
			delete(p.cameras, oldest)
		}
		c = &camera{}
		p.cameras[name] = c
	}
	return c
}

// maxCameras bounds those of a partition that something is remembered of.
const maxCameras = 1024

// A snapshot is a byte for its version, the settings' fingerprint, and the cameras as JSON. Of a watched line the cameras' part has its length before it and the watch after it, as JSON, too.
const (
	snapshotVersion = 1
	watchedVersion  = 2
)

// kept is a camera in a snapshot.
type keptCamera struct {
	Name    string       `json:"name"`
	Sampled int64        `json:"sampled,omitempty"`
	Watched int64        `json:"watched,omitempty"`
	State   rules.Camera `json:"state"`
}

// Snapshot appends what is remembered of the cameras to dst, after the frames seen so far. Equal states give equal bytes.
func (p *Partition) Snapshot(dst []byte) []byte {
	seen := p.watched()
	version := byte(snapshotVersion)
	if seen != nil {
		version = watchedVersion
	}
	dst = append(dst, version)
	dst = binary.LittleEndian.AppendUint64(dst, p.line.print)
	all := make([]keptCamera, 0, len(p.cameras))
	for _, name := range slices.Sorted(maps.Keys(p.cameras)) {
		c := p.cameras[name]
		all = append(all, keptCamera{name, c.Sampled, c.Watched, c.Camera})
	}
	js, err := json.Marshal(all)
	if err != nil {
		panic(err) // only numbers and strings
	}
	if seen != nil {
		dst = binary.AppendUvarint(dst, uint64(len(js)))
	}
	return append(append(dst, js...), seen...)
}

// Restore takes what Snapshot gave, of the same settings.
func (p *Partition) Restore(snapshot []byte) error {
	if len(snapshot) < 9 || snapshot[0] != snapshotVersion && snapshot[0] != watchedVersion {
		return errors.New("restore what is known of cameras: it is of another version")
	}
	if binary.LittleEndian.Uint64(snapshot[1:9]) != p.line.print {
		return errors.New("restore what is known of cameras: it is of other settings")
	}
	js := snapshot[9:]
	var saved *savedWatch
	if snapshot[0] == watchedVersion {
		size, n := binary.Uvarint(js)
		if n <= 0 || size > uint64(len(js)-n) {
			return errors.New("restore what is known of cameras: it is cut short")
		}
		saved = &savedWatch{}
		if err := json.Unmarshal(js[n+int(size):], saved); err != nil {
			return fmt.Errorf("restore what was watched of frames: %w", err)
		}
		js = js[n : n+int(size)]
	}
	var all []keptCamera
	if err := json.Unmarshal(js, &all); err != nil {
		return fmt.Errorf("restore what is known of cameras: %w", err)
	}
	p.rewatch(saved)
	p.cameras = map[string]*camera{}
	for _, k := range all {
		p.cameras[k.Name] = &camera{Camera: k.State, Sampled: k.Sampled, Watched: k.Watched}
	}
	return nil
}
