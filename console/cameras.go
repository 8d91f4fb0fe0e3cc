package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"andon/event"
)

// Zone, Crossing and SightRule are what a vision pipeline looks for, as the page draws it.
type (
	Zone struct {
		Name    string       `json:"name"`
		Cameras []string     `json:"cameras,omitempty"`
		Polygon [][2]float32 `json:"polygon"`
		Labels  []string     `json:"labels,omitempty"`
	}
	Crossing struct {
		Name    string     `json:"name"`
		Cameras []string   `json:"cameras,omitempty"`
		From    [2]float32 `json:"from"`
		To      [2]float32 `json:"to"`
	}
	SightRule struct {
		Name     string   `json:"name"`
		Cameras  []string `json:"cameras,omitempty"`
		Zone     string   `json:"zone,omitempty"`
		Line     string   `json:"line,omitempty"`
		Severity string   `json:"severity"`
		Says     string   `json:"says"`
	}
)

// Eye is a vision pipeline as the page shows it.
type Eye struct {
	Zones  []Zone      `json:"zones"`
	Lines  []Crossing  `json:"lines"`
	Rules  []SightRule `json:"rules"`
	Labels []string    `json:"labels,omitempty"` // what its model knows; set when it is asked for
}

// Kept is a frame in the evidence store.
type Kept struct {
	Ref      string `json:"ref"`
	Pipeline string `json:"pipeline"`
	Camera   string `json:"camera"`
	Captured int64  `json:"captured,string"` // Unix nanoseconds
	Kind     string `json:"kind"`
	Bytes    int64  `json:"bytes"`
}

// Evidence is where frames are kept; an error that is fs.ErrNotExist tells that one is not.
type Evidence interface {
	Get(ctx context.Context, ref string) (jpeg, note []byte, err error)
	// Kept lists frames of a pipeline, the newest first; an empty camera or kind, and a limit of 0, are no bound.
	Kept(pipeline, camera, kind string, limit int) []Kept
	// Take keeps a picture that is too large for a record, and returns its name.
	Take(ctx context.Context, source, camera string, captured int64, jpeg []byte) (ref string, err error)
}

// Bounds of what the page remembers of cameras.
const (
	shotsPerCamera = 150      // half a minute of five a second, to step back through
	shotBytes      = 64 << 20 // of all cameras together
	agesPerCamera  = 512
	firedPerCamera = 32
	maxCameras     = 1024
)

// gallery keeps the newest frames of the cameras, and what became of all of them since the start.
type gallery struct {
	mu      sync.Mutex
	cameras map[[2]string]*shown
	bytes   int64
}

// shown is one camera.
type shown struct {
	pipeline, name string
	shots          []shot
	counts         map[string]uint64
	gaps           uint64 // frames that were not sent
	sequence       int64
	arrivals       []int64 // the newest, by the wall clock
	ages, waits    []int64 // of the newest scored frames
	at             int
	fired          []event.Sight
	seen           time.Time
}

type shot struct {
	jpeg  []byte
	sight event.Sight
}

func newGallery() *gallery { return &gallery{cameras: map[[2]string]*shown{}} }

// Sight shows a frame and what became of it. It never blocks for long, and keeps the frame's JPEG, which must not change.
func (c *Console) Sight(_ string, f *event.Frame, s *event.Sight) {
	c.gallery.take(f.JPEG, s, time.Now())
}

// Frame returns a frame that was shown lately.
func (c *Console) Frame(pipeline, camera string, captured int64) (jpeg []byte, s event.Sight, ok bool) {
	g := c.gallery
	g.mu.Lock()
	defer g.mu.Unlock()
	if of := g.cameras[[2]string{pipeline, camera}]; of != nil {
		for i := len(of.shots) - 1; i >= 0; i-- {
			if of.shots[i].sight.Captured == captured {
				return of.shots[i].jpeg, of.shots[i].sight, true
			}
		}
	}
	return nil, event.Sight{}, false
}

// Frames adds where frames are kept, and what is looked for in them, before Run; labels tells what a pipeline's model knows.
func (c *Console) Frames(kept Evidence, eyes map[string]Eye, labels func(pipeline string) []string) {
	c.evidence, c.eyes, c.eyeLabels = kept, eyes, labels
}

func (g *gallery) take(jpeg []byte, s *event.Sight, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	key := [2]string{s.Pipeline, s.Camera}
	of := g.cameras[key]
	if of == nil {
		if len(g.cameras) >= maxCameras {
			return
		}
		of = &shown{pipeline: s.Pipeline, name: s.Camera, counts: map[string]uint64{}, sequence: s.Sequence - 1}
		g.cameras[key] = of
	}
	of.seen = now
	of.counts[s.Status]++
	if gap := s.Sequence - of.sequence - 1; gap > 0 && gap < 1<<20 {
		of.gaps += uint64(gap)
	}
	of.sequence = s.Sequence
	of.arrivals = append(of.arrivals, now.UnixNano())
	if len(of.arrivals) > 64 {
		of.arrivals = append(of.arrivals[:0], of.arrivals[32:]...)
	}
	if s.Status == event.SightScored {
		if len(of.ages) < agesPerCamera {
			of.ages, of.waits = append(of.ages, s.Age), append(of.waits, s.Latency)
		} else {
			of.ages[of.at], of.waits[of.at] = s.Age, s.Latency
			of.at = (of.at + 1) % agesPerCamera
		}
	}
	if len(s.Fired) > 0 {
		if len(of.fired) == firedPerCamera {
			of.fired = append(of.fired[:0], of.fired[1:]...)
		}
		of.fired = append(of.fired, *s)
	}
	if s.Status != event.SightScored && s.Status != event.SightNoJudge || len(jpeg) == 0 {
		return
	}
	if len(of.shots) == shotsPerCamera {
		g.bytes -= int64(len(of.shots[0].jpeg))
		of.shots = append(of.shots[:0], of.shots[1:]...)
	}
	of.shots = append(of.shots, shot{jpeg, *s})
	g.bytes += int64(len(jpeg))
	for g.bytes > shotBytes {
		most := of
		for _, o := range g.cameras {
			if len(o.shots) > len(most.shots) {
				most = o
			}
		}
		if len(most.shots) < 2 {
			return
		}
		g.bytes -= int64(len(most.shots[0].jpeg))
		most.shots[0] = shot{}
		most.shots = most.shots[1:]
	}
}

// cameraView is a camera as the API tells it.
type cameraView struct {
	Pipeline string `json:"pipeline"`
	Camera   string `json:"camera"`
	// Frames counts all that came since the start, Scored and Dropped, by why, what became of them, Missing those that were not sent.
	Frames  uint64            `json:"frames"`
	Scored  uint64            `json:"scored"`
	Dropped map[string]uint64 `json:"dropped"`
	Missing uint64            `json:"missing"`
	// FPS is of the newest frames. Age is from the capture to the verdict, Latency from the arrival, of the newest scored ones, in milliseconds.
	FPS     float64    `json:"fps"`
	Age     quantiles  `json:"age_ms"`
	Latency quantiles  `json:"latency_ms"`
	Seen    time.Time  `json:"seen"`
	Newest  *sightView `json:"newest,omitempty"`
}

type quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

type sightView struct {
	// Captured is Unix nanoseconds, as text: it names the frame.
	Captured int64     `json:"captured,string"`
	Time     time.Time `json:"time"`
	Sequence int64     `json:"sequence"`
	Width    int       `json:"width"`
	Height   int       `json:"height"`
	Status   string    `json:"status"`
	Version  string    `json:"version,omitempty"`
	Label    string    `json:"label,omitempty"`
	Risk     float32   `json:"risk"`
	Boxes    []boxView `json:"boxes"`
	Zones    []string  `json:"zones,omitempty"`
	Fired    []string  `json:"fired,omitempty"`
	Evidence string    `json:"evidence,omitempty"`
	Age      float64   `json:"age_ms"`
	Position string    `json:"position"`
}

type boxView struct {
	Label string     `json:"label"`
	Score float32    `json:"score"`
	Box   [4]float32 `json:"box"` // x0, y0, x1, y1
	Track int64      `json:"track,omitempty"`
}

func viewOf(s *event.Sight) *sightView {
	v := &sightView{Captured: s.Captured, Time: time.Unix(0, s.Captured).UTC(), Sequence: s.Sequence, Width: s.Width, Height: s.Height, Status: s.Status, Version: s.Version, Label: s.Label,
		Risk: s.Risk, Boxes: []boxView{}, Zones: s.Zones, Fired: s.Fired, Evidence: s.Evidence, Age: float64(s.Age) / 1e6, Position: s.Position.String()}
	for i := range s.Boxes {
		b := &s.Boxes[i]
		v.Boxes = append(v.Boxes, boxView{b.Label, b.Score, [4]float32{b.X0, b.Y0, b.X1, b.Y1}, b.Track})
	}
	return v
}

// view is the camera now; the gallery's lock is held.
func (s *shown) view(now time.Time) cameraView {
	v := cameraView{Pipeline: s.pipeline, Camera: s.name, Dropped: map[string]uint64{}, Missing: s.gaps, Seen: s.seen.UTC(), Age: quantilesOf(s.ages), Latency: quantilesOf(s.waits)}
	for status, n := range s.counts {
		v.Frames += n
		if status == event.SightScored {
			v.Scored = n
		} else {
			v.Dropped[status] = n
		}
	}
	if n := len(s.arrivals); n > 1 {
		first := s.arrivals[max(0, n-20)]
		if d := float64(max(now.UnixNano()-first, 1)) / 1e9; d > 0 {
			v.FPS = float64(n-1-max(0, n-20)) / d
		}
	}
	if n := len(s.shots); n > 0 {
		v.Newest = viewOf(&s.shots[n-1].sight)
	}
	return v
}

func quantilesOf(values []int64) quantiles {
	if len(values) == 0 {
		return quantiles{}
	}
	sorted := slices.Sorted(slices.Values(values))
	at := func(q float64) float64 { return float64(sorted[int(q*float64(len(sorted)-1)+0.5)]) / 1e6 }
	return quantiles{at(0.5), at(0.99)}
}

// getCameras tells of all cameras, by pipeline and name, each with its newest frame's boxes, and of what is looked for.
func (c *Console) getCameras(w http.ResponseWriter, _ *http.Request) {
	g, now := c.gallery, time.Now()
	views := []cameraView{}
	g.mu.Lock()
	for _, key := range slices.SortedFunc(maps.Keys(g.cameras), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		views = append(views, g.cameras[key].view(now))
	}
	g.mu.Unlock()
	answer(w, map[string]any{"cameras": views, "pipelines": c.eyesNow()})
}

// eyesNow is what is looked for, with what the models know now.
func (c *Console) eyesNow() map[string]Eye {
	all := map[string]Eye{}
	for name, e := range c.eyes {
		if c.eyeLabels != nil {
			e.Labels = c.eyeLabels(name)
		}
		all[name] = e
	}
	return all
}

// getCamera tells of one camera: its newest frames, and those at which a rule fired.
func (c *Console) getCamera(w http.ResponseWriter, r *http.Request) {
	g := c.gallery
	g.mu.Lock()
	of := g.cameras[[2]string{r.PathValue("pipeline"), r.PathValue("camera")}]
	if of == nil {
		g.mu.Unlock()
		fail(w, http.StatusNotFound, "not_found", fmt.Sprintf("no frame of %s/%s came since the start", r.PathValue("pipeline"), r.PathValue("camera")))
		return
	}
	body := struct {
		cameraView
		Shots []*sightView `json:"shots"`
		Fires []*sightView `json:"fires"`
		Eye   Eye          `json:"eye"`
	}{cameraView: of.view(time.Now()), Shots: []*sightView{}, Fires: []*sightView{}}
	for i := len(of.shots) - 1; i >= 0; i-- {
		body.Shots = append(body.Shots, viewOf(&of.shots[i].sight))
	}
	for i := len(of.fired) - 1; i >= 0; i-- {
		body.Fires = append(body.Fires, viewOf(&of.fired[i]))
	}
	g.mu.Unlock()
	body.Eye = c.eyesNow()[r.PathValue("pipeline")]
	answer(w, body)
}

// getCameraFrame gives a frame's JPEG: the newest, or the one that captured names, also from the evidence store.
func (c *Console) getCameraFrame(w http.ResponseWriter, r *http.Request) {
	pipeline, camera := r.PathValue("pipeline"), r.PathValue("camera")
	captured, err := int64(0), error(nil)
	if text := r.URL.Query().Get("captured"); text != "" {
		if captured, err = strconv.ParseInt(text, 10, 64); err != nil {
			fail(w, http.StatusBadRequest, "bad_request", fmt.Sprintf("captured: %q is not Unix nanoseconds", text))
			return
		}
	} else {
		c.gallery.mu.Lock()
		if of := c.gallery.cameras[[2]string{pipeline, camera}]; of != nil && len(of.shots) > 0 {
			captured = of.shots[len(of.shots)-1].sight.Captured
		}
		c.gallery.mu.Unlock()
	}
	jpeg, _, ok := c.Frame(pipeline, camera, captured)
	if !ok && c.evidence != nil && captured != 0 {
		for _, k := range c.evidence.Kept(pipeline, camera, "", 0) {
			if k.Captured == captured {
				jpeg, _, err = c.evidence.Get(r.Context(), k.Ref)
				ok = err == nil
				break
			}
		}
	}
	if !ok {
		fail(w, http.StatusNotFound, "not_found", "the frame is no longer at hand, and was not kept")
		return
	}
	picture(w, r, strconv.FormatInt(captured, 10), r.URL.Query().Has("captured"), jpeg)
}

// picture answers with a JPEG, or that the one that is there is still right.
func picture(w http.ResponseWriter, r *http.Request, tag string, fixed bool, jpeg []byte) {
	tag = `"` + tag + `"`
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "private, no-cache")
	if fixed { // a name that always means the same
		h.Set("Cache-Control", "private, max-age=86400, immutable")
	}
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "image/jpeg")
	h.Set("Content-Length", strconv.Itoa(len(jpeg)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(jpeg)
}

// getKept lists kept frames.
func (c *Console) getKept(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	limit := 100
	if text := q.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1000 {
			fail(w, http.StatusBadRequest, "bad_request", fmt.Sprintf("limit: %q is not between 1 and 1000", text))
			return
		}
		limit = n
	}
	list := []Kept{}
	if c.evidence != nil {
		list = append(list, c.evidence.Kept(q.Get("pipeline"), q.Get("camera"), q.Get("kind"), limit)...)
	}
	answer(w, map[string]any{"frames": list})
}

// getEvidence gives a kept frame: its JPEG, or with ?note=1 what was seen in it.
func (c *Console) getEvidence(w http.ResponseWriter, r *http.Request) {
	ref := r.PathValue("ref")
	if raw := r.URL.EscapedPath(); len(raw) > len(evidencePath) { // names are kept escaped
		ref = raw[len(evidencePath):]
	}
	if c.evidence == nil {
		fail(w, http.StatusNotFound, "not_found", "no frames are kept here")
		return
	}
	jpeg, note, err := c.evidence.Get(r.Context(), ref)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		fail(w, http.StatusNotFound, "not_found", err.Error()+": it was never, or is older or worth less than what there is room for (evidence)")
	case err != nil:
		fail(w, http.StatusInternalServerError, "internal", err.Error())
	case r.URL.Query().Has("note"):
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_, _ = w.Write(append(note, '\n'))
	default:
		picture(w, r, strconv.Itoa(len(jpeg))+"-"+ref, true, jpeg)
	}
}

// mostPicture is the largest picture that is taken in.
const mostPicture = 64 << 20

// postEvidence takes in a picture that is too large for a record of Kafka: its record names it then.
func (c *Console) postEvidence(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	captured, err := strconv.ParseInt(q.Get("captured"), 10, 64)
	if err != nil || q.Get("source") == "" || q.Get("camera") == "" {
		fail(w, http.StatusBadRequest, "bad_request", "say in the query whose it is: ?source=TOPIC&camera=NAME&captured=NANOSECONDS")
		return
	}
	if r.Header.Get("Content-Type") != "image/jpeg" {
		fail(w, http.StatusUnsupportedMediaType, "bad_request", "send the picture as image/jpeg")
		return
	}
	if c.evidence == nil {
		fail(w, http.StatusNotFound, "not_found", "no frames are kept here")
		return
	}
	jpeg, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostPicture))
	if err != nil || len(jpeg) < 4 || jpeg[0] != 0xFF || jpeg[1] != 0xD8 {
		fail(w, http.StatusBadRequest, "bad_request", fmt.Sprintf("the body is no JPEG of at most %d bytes", mostPicture))
		return
	}
	ref, err := c.evidence.Take(r.Context(), q.Get("source"), q.Get("camera"), captured, jpeg)
	if err != nil {
		fail(w, http.StatusInternalServerError, "internal", err.Error())
		return
	}
	answerWith(w, http.StatusCreated, map[string]string{"ref": ref})
}

const evidencePath = "/api/v1/evidence/"
