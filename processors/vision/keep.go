package vision

import (
	"context"
	"sync"

	"andon/event"
)

// Note is what is kept beside a frame.
type Note struct {
	Pipeline string      `json:"pipeline"`
	Camera   string      `json:"camera"`
	Captured int64       `json:"captured"`
	Sequence int64       `json:"sequence"`
	Position string      `json:"position"`
	Kind     string      `json:"kind"`
	Status   string      `json:"status,omitempty"`
	Version  string      `json:"version,omitempty"`
	Label    string      `json:"label,omitempty"`
	Risk     float32     `json:"risk,omitempty"`
	Boxes    []event.Box `json:"boxes,omitempty"`
	Zones    []string    `json:"zones,omitempty"`
	Fired    []string    `json:"fired,omitempty"`
}

// NoteOf makes the note of a frame.
func NoteOf(s *event.Sight, kind string) Note {
	return Note{Pipeline: s.Pipeline, Camera: s.Camera, Captured: s.Captured, Sequence: s.Sequence, Position: s.Position.String(), Kind: kind, Status: s.Status,
		Version: s.Version, Label: s.Label, Risk: s.Risk, Boxes: s.Boxes, Zones: s.Zones, Fired: s.Fired}
}

// keepAhead is how many frames may wait to be kept; half of them at most are samples.
const keepAhead = 64

// keeper hands frames to the evidence store beside the line, which does not wait for its disk; a flush does, so that a row never names a picture that is not there.
type keeper struct {
	line  *Line
	queue chan keeping
	done  chan struct{}

	mu   sync.Mutex
	idle *sync.Cond
	// cut counts blocks; waiting are the frames of each that are not kept yet.
	cut     int
	waiting map[int]int
	failed  map[int64]bool // offsets
}

type keeping struct {
	item   Item
	offset int64
	cut    int
}

func (k *keeper) open(l *Line) {
	k.line = l
	k.idle, k.waiting, k.failed = sync.NewCond(&k.mu), map[int]int{}, map[int64]bool{}
	if l.deps.Evidence == nil {
		return
	}
	k.queue, k.done = make(chan keeping, keepAhead), make(chan struct{})
	go func() {
		defer close(k.done)
		for job := range k.queue {
			k.put(job)
		}
	}()
}

func (k *keeper) close() {
	if k.queue != nil {
		close(k.queue)
		<-k.done
	}
}

// ref names a frame that will be kept; empty where nothing is.
func (k *keeper) ref(f *looked, kind string) string {
	if k.queue == nil {
		return ""
	}
	return k.line.deps.Evidence.Ref(k.item(f, kind, nil))
}

func (k *keeper) item(f *looked, kind string, note any) *Item {
	return &Item{Pipeline: k.line.name, Camera: f.Camera, Captured: f.Captured, Kind: kind, JPEG: f.JPEG, Note: note}
}

// keep hands a frame on, and notes in its Sight where it will be. A sample is given up where too much waits; a frame at which a rule fired is not: the line then puts it itself.
func (k *keeper) keep(f *looked, s *event.Sight, kind string) {
	if k.queue == nil {
		return
	}
	if kind == KeptSampled && len(k.queue) >= keepAhead/2 {
		k.line.meters.kept["shed"].Inc()
		return
	}
	s.Evidence = k.ref(f, kind)
	job := keeping{*k.item(f, kind, NoteOf(s, kind)), f.Offset, 0}
	k.mu.Lock()
	job.cut = k.cut
	k.waiting[job.cut]++
	k.mu.Unlock()
	select {
	case k.queue <- job:
	default:
		k.put(job)
	}
}

func (k *keeper) put(job keeping) {
	_, err := k.line.deps.Evidence.Put(context.Background(), &job.item)
	if err != nil {
		k.line.meters.kept["failed"].Inc()
		k.line.log.Error("a frame could not be kept as evidence", "camera", job.item.Camera, "kind", job.item.Kind, "error", err)
	} else {
		k.line.meters.kept["kept"].Inc()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil {
		k.failed[job.offset] = true
	}
	if k.waiting[job.cut]--; k.waiting[job.cut] == 0 {
		delete(k.waiting, job.cut)
		k.idle.Broadcast()
	}
}

// next begins the next block and returns the number of the one before.
func (k *keeper) next() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cut++
	return k.cut - 1
}

// settle waits until all of a block is kept, and takes out of its Sights what could not be.
func (k *keeper) settle(cut int, sights []event.Sight) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.waiting[cut] > 0 {
		k.idle.Wait()
	}
	for i := range sights {
		if k.failed[sights[i].Offset] {
			sights[i].Evidence = ""
			delete(k.failed, sights[i].Offset)
		}
	}
}

// Cut is the end of a block: what is known of the cameras there, and what of its frames is still being kept or looked at by shadows. It may be used beside the Partition, which goes on.
type Cut struct {
	p       *Partition
	number  int
	state   []byte
	looking <-chan struct{}
}

// Cut ends a block: frames that are seen from here on belong to the next.
func (p *Partition) Cut() *Cut {
	return &Cut{p: p, number: p.keeper.next(), state: p.Snapshot(nil), looking: p.shade.next()}
}

// Snapshot is Partition.Snapshot as it was at the cut.
func (c *Cut) Snapshot() []byte { return c.state }

// Settle makes the block's Sights ready to be stored: what they say is kept is there. It returns what the shadows have said of them.
func (c *Cut) Settle(sights, shadows []event.Sight) []event.Sight {
	c.p.keeper.settle(c.number, sights)
	return c.p.shade.collect(c.number, c.looking, shadows)
}
