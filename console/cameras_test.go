package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"andon/event"
)

// shelf holds one frame.
type shelf struct{}

func (shelf) Get(_ context.Context, ref string) ([]byte, []byte, error) {
	if ref != "gate/a%2Fb/5.jpg" {
		return nil, nil, fmt.Errorf("%s: %w", ref, fs.ErrNotExist)
	}
	return []byte("kept"), []byte(`{"kind":"fired"}`), nil
}

func (shelf) Kept(pipeline, camera, _ string, _ int) []Kept {
	return []Kept{{Ref: "gate/a%2Fb/5.jpg", Pipeline: pipeline, Camera: camera, Captured: 5, Kind: "fired", Bytes: 4}}
}

func (shelf) Take(_ context.Context, source, camera string, captured int64, jpeg []byte) (string, error) {
	return fmt.Sprint(source, "/", camera, "/", captured, "/", len(jpeg)), nil
}

func TestCameras(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 0)
	a.Frames(shelf{}, map[string]Eye{"gate": {Zones: []Zone{{Name: "z", Polygon: [][2]float32{{0, 0}, {1, 0}, {1, 1}}}}}}, func(string) []string { return []string{"person"} })
	now := time.Now()
	sight := func(n int64, status string, picture string) {
		s := event.Sight{Pipeline: "gate", Camera: "a/b", Captured: now.Add(time.Duration(n) * time.Millisecond).UnixNano(), Sequence: n, Status: status, Age: n * 1e6, Latency: 1e6,
			Boxes: []event.Box{{Label: "person", Score: 0.5, X0: 0.25, Y1: 1, Track: 3}}}
		if n == 4 {
			s.Fired = []string{"rule"}
		}
		a.Sight("gate", &event.Frame{JPEG: []byte(picture)}, &s)
	}
	for n := range int64(5) {
		sight(n, event.SightScored, fmt.Sprint("picture ", n))
	}
	sight(5, event.SightBusy, "dropped")
	sight(9, event.SightLate, "dropped")
	server := httptest.NewServer(a.handler("127.0.0.1:0"))
	defer server.Close()
	get := func(path string, header ...string) (int, string, http.Header) {
		t.Helper()
		req, err := http.NewRequest("GET", server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = "127.0.0.1:0"
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		var b [1 << 16]byte
		n := 0
		for {
			k, err := res.Body.Read(b[n:])
			n += k
			if err != nil {
				break
			}
		}
		return res.StatusCode, string(b[:n]), res.Header
	}
	var all struct {
		Cameras   []cameraView
		Pipelines map[string]Eye
	}
	_, body, _ := get("/api/v1/cameras")
	if err := json.Unmarshal([]byte(body), &all); err != nil || len(all.Cameras) != 1 {
		t.Fatalf("%v %s", err, body)
	}
	c := all.Cameras[0]
	if c.Frames != 7 || c.Scored != 5 || c.Dropped["busy"] != 1 || c.Dropped["late"] != 1 || c.Missing != 3 || c.Age.P50 != 2 || c.Age.P99 != 4 || c.Newest == nil || c.Newest.Sequence != 4 ||
		len(c.Newest.Boxes) != 1 || c.Newest.Boxes[0].Box != [4]float32{0.25, 0, 0, 1} || all.Pipelines["gate"].Labels[0] != "person" || all.Pipelines["gate"].Zones[0].Name != "z" {
		t.Errorf("%s", body)
	}
	// The picture of the boxes that are shown is theirs.
	code, picture, h := get(fmt.Sprintf("/api/v1/cameras/gate/a%%2Fb/frame?captured=%d", c.Newest.Captured))
	if code != 200 || picture != "picture 4" || h.Get("Content-Type") != "image/jpeg" || h.Get("Cache-Control") != "private, max-age=86400, immutable" {
		t.Errorf("%d %q %v", code, picture, h)
	}
	if code, _, _ = get("/api/v1/cameras/gate/a%2Fb/frame", "If-None-Match", h.Get("ETag")); code != http.StatusNotModified {
		t.Errorf("the same frame: %d", code)
	}
	if code, picture, _ = get("/api/v1/cameras/gate/a%2Fb/frame?captured=5"); code != 200 || picture != "kept" {
		t.Errorf("a kept frame: %d %q", code, picture)
	}
	for path, want := range map[string]int{"/api/v1/cameras/gate/none": 404, "/api/v1/cameras/gate/a%2Fb/frame?captured=6": 404, "/api/v1/cameras/gate/a%2Fb/frame?captured=x": 400, "/api/v1/evidence/gate/a/5.jpg": 404,
		"/api/v1/evidence?limit=0": 400, "/api/v1/evidence/gate/a%2Fb/5.jpg": 200, "/api/v1/evidence?pipeline=gate": 200} {
		if code, body, _ := get(path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	post := func(query, kind, body string) (int, string) {
		t.Helper()
		res, err := http.Post(server.URL+"/api/v1/evidence"+query, kind, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(text)
	}
	if code, body := post("?source=in&camera=c&captured=7", "image/jpeg", "\xff\xd8\xff\xd9"); code != 201 || body != `{"ref":"in/c/7/4"}`+"\n" {
		t.Errorf("a large picture: %d %s", code, body)
	}
	for query, want := range map[string]int{"?source=in&camera=c": 400, "?camera=c&captured=7": 400, "?source=in&camera=c&captured=8": 400} {
		if code, body := post(query, "image/jpeg", "GIF89a"); code != want {
			t.Errorf("%s: %d %s", query, code, body)
		}
	}
	if code, _ := post("?source=in&camera=c&captured=7", "text/plain", "\xff\xd8\xff\xd9"); code != 415 {
		t.Errorf("as text: %d", code)
	}
	if _, note, _ := get("/api/v1/evidence/gate/a%2Fb/5.jpg?note=1"); note != `{"kind":"fired"}`+"\n" {
		t.Errorf("note %q", note)
	}
	var one struct{ Shots, Fires []sightView }
	if _, body, _ = get("/api/v1/cameras/gate/a%2Fb"); json.Unmarshal([]byte(body), &one) != nil || len(one.Shots) != 5 || one.Shots[0].Sequence != 4 || len(one.Fires) != 1 {
		t.Errorf("%s", body)
	}
	if jpeg, s, ok := a.Frame("gate", "a/b", one.Shots[2].Captured); !ok || string(jpeg) != "picture 2" || s.Sequence != 2 {
		t.Errorf("%q %+v", jpeg, s)
	}
}

// What the page remembers of cameras is bounded in frames and in bytes.
func TestGalleryBounds(t *testing.T) {
	g := newGallery()
	big := make([]byte, 4<<20)
	for n := range int64(40) {
		for _, camera := range []string{"a", "b"} {
			g.take(big, &event.Sight{Pipeline: "p", Camera: camera, Captured: n, Sequence: n, Status: event.SightScored}, time.Now())
		}
	}
	kept := int64(0)
	for _, c := range g.cameras {
		kept += int64(len(c.shots)) * int64(len(big))
		if len(c.shots) < 4 {
			t.Errorf("%s has %d frames", c.name, len(c.shots))
		}
	}
	if kept != g.bytes || kept > shotBytes {
		t.Errorf("%d bytes are counted, %d kept", g.bytes, kept)
	}
	for n := range int64(1000) {
		g.take(big[:10], &event.Sight{Pipeline: "p", Camera: "c", Captured: n, Sequence: n, Status: event.SightScored}, time.Now())
	}
	if c := g.cameras[[2]string{"p", "c"}]; len(c.shots) != shotsPerCamera || len(c.ages) != agesPerCamera {
		t.Errorf("%d frames, %d ages", len(c.shots), len(c.ages))
	}
	for n := range maxCameras + 10 {
		g.take(nil, &event.Sight{Pipeline: "p", Camera: fmt.Sprint("made-up-", n), Status: event.SightScored}, time.Now())
	}
	if len(g.cameras) != maxCameras {
		t.Errorf("%d cameras", len(g.cameras))
	}
}
