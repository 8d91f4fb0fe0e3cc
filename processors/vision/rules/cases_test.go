package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"andon/event"
	"andon/processors/internal/cases"
)

var update = cases.Flag()

// TestCases plays files: "set" reads a configuration; "fact signal= value= at=" tells a reading, of which the newest before a frame counts; "frames camera= from= step=" takes one frame a line, in seconds of event
// time, each a list of "label x0 y0 x1 y1" apart by semicolons, or "class label risk" of the frame or "class@zone label risk"; an empty frame is "-". "restart" takes the state through its snapshot.
func TestCases(t *testing.T) {
	cases.Run(t, "testdata/*.txt", *update, func(t *testing.T) func(cases.Case) string {
		s := &script{t: t, cameras: map[string]*Camera{}}
		return s.do
	})
}

type script struct {
	t       *testing.T
	set     *Set
	cameras map[string]*Camera
	facts   []fact
}

type fact struct {
	signal string
	value  float64
	at     int64
}

func (s *script) do(c cases.Case) string {
	seconds := func(key string) float64 {
		f, err := strconv.ParseFloat(c.Args[key], 64)
		if err != nil {
			s.t.Fatalf("%s: %v", key, err)
		}
		return f
	}
	switch c.Command {
	case "set":
		cfg := Default()
		if err := yaml.Unmarshal([]byte(strings.Join(c.Input, "\n")), &cfg); err != nil {
			return err.Error()
		}
		var err error
		if s.set, err = New(cfg); err != nil {
			return err.Error()
		}
		return ""
	case "fact":
		s.facts = append(s.facts, fact{c.Args["signal"], seconds("value"), int64(seconds("at") * 1e9)})
		return ""
	case "restart":
		for name, had := range s.cameras {
			state := had.Append(nil)
			var got Camera
			if err := got.Restore(state); err != nil {
				s.t.Fatal(err)
			}
			if again := got.Append(nil); !slices.Equal(again, state) {
				s.t.Errorf("%s became %s", state, again)
			}
			s.cameras[name] = &got
		}
		return ""
	case "frames":
		camera := c.Args["camera"]
		if s.cameras[camera] == nil {
			s.cameras[camera] = &Camera{}
		}
		var out strings.Builder
		for i, line := range c.Input {
			at := seconds("from") + float64(i)*seconds("step")
			f := Frame{Camera: camera, Captured: int64(at*1e9) + 1e9} // not at zero
			s.frame(&f, line)
			out.WriteString(show(at, &f, s.set.Step(s.cameras[camera], &f, s.known)))
		}
		return out.String()
	}
	s.t.Fatalf("unknown command %s", c.Command)
	return ""
}

func (s *script) frame(f *Frame, line string) {
	for _, part := range strings.Split(line, ";") {
		words := strings.Fields(part)
		if len(words) == 0 || words[0] == "-" {
			continue
		}
		number := func(i int) float32 {
			x, err := strconv.ParseFloat(words[i], 32)
			if err != nil {
				s.t.Fatalf("%s: %v", part, err)
			}
			return float32(x)
		}
		if kind, zone, _ := strings.Cut(words[0], "@"); kind == "class" {
			f.Classes = append(f.Classes, Class{Zone: zone, Label: words[1], Risk: number(2), Normal: words[1] == "clear"})
			continue
		}
		f.Boxes = append(f.Boxes, event.Box{Label: words[0], Score: 0.9, X0: number(1), Y0: number(2), X1: number(3), Y1: number(4)})
	}
}

func (s *script) known(w *While, at int64) (holds, known bool) {
	for _, f := range s.facts {
		if f.signal == w.Signal && f.at+1e9 <= at {
			known = at-f.at-1e9 <= int64(w.MaxAge)
			holds = w.Holds(f.value)
		}
	}
	return holds && known, known
}

func show(at float64, f *Frame, out Outcome) string {
	var parts []string
	for _, b := range f.Boxes {
		parts = append(parts, fmt.Sprintf("%s#%d", b.Label, b.Track))
	}
	if len(out.Zones) > 0 {
		parts = append(parts, "in "+strings.Join(out.Zones, ","))
	}
	for _, n := range out.Unknown {
		parts = append(parts, "UNKNOWN "+n)
	}
	for i := range out.Firings {
		fi := &out.Firings[i]
		if fi.Over {
			parts = append(parts, "OVER "+fi.Rule.Name)
			continue
		}
		parts = append(parts, fmt.Sprintf("FIRES %s, since %v", fi.Title(f.Camera), (time.Duration(fi.Since)-time.Second).Seconds()))
	}
	return fmt.Sprintf("%.1f %s\n", at, strings.Join(parts, "; "))
}
