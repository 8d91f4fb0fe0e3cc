package truth

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"andon/event"
	"andon/model"
)

var update = flag.Bool("update", false, "write what the rules say into testdata")

// A file of testdata is read line by line: "rule" sets the rule and forgets all, "label" and "seen" say what is known, "say" is a prediction, whose outcome follows in an indented line. "versions"
// pairs what two have said. Times are in steps of the grid, a second.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var out strings.Builder
			s := &script{t: t}
			for line := range strings.Lines(string(text)) {
				if strings.HasPrefix(line, "  ") {
					continue
				}
				out.WriteString(line)
				if f := strings.Fields(line); len(f) > 0 && f[0] != "#" {
					for _, said := range s.do(f) {
						fmt.Fprintf(&out, "  %s\n", said)
					}
				}
			}
			if *update {
				if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if out.String() != string(text) {
				t.Errorf("%s: got\n%s\nwant\n%s", file, out.String(), text)
			}
		})
	}
}

type script struct {
	t        *testing.T
	rule     Rule
	history  History
	outcomes []Outcome
}

func (s *script) do(f []string) (out []string) {
	args := map[string]string{}
	var words []string
	for _, a := range f[1:] {
		if k, v, ok := strings.Cut(a, "="); ok {
			args[k] = v
		} else {
			words = append(words, a)
		}
	}
	number := func(text string) float64 {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			s.t.Fatalf("%q: %v", f, err)
		}
		return v
	}
	arg := func(key string) float64 {
		if args[key] == "" {
			return 0
		}
		return number(args[key])
	}
	instant := func(v float64) int64 { return int64(v * 1e9) }
	switch f[0] {
	case "rule":
		s.rule = Rule{Task: model.Task(words[0]), Grid: time.Second, Cap: int(arg("cap")), Horizon: int(arg("horizon")), MatureAfter: time.Duration(arg("mature_after") * 1e9)}
		s.history, s.outcomes = History{Last: map[int64]int64{}}, nil
		if err := s.rule.Validate(); err != nil {
			return strings.Split(err.Error(), "\n")
		}
	case "label":
		l := event.Label{Kind: words[0], Time: instant(arg("at")), Until: instant(arg("until")), Weight: arg("weight")}
		s.history.Labels = append(s.history.Labels, l)
		if args["last"] != "" {
			s.history.Last[l.Time] = instant(arg("last"))
		}
	case "seen":
		s.history.Seen = instant(number(words[0]))
	case "say":
		end := instant(arg("end"))
		said := Outcome{Asset: "a", End: end, Version: args["by"], Value: arg("value"), Risk: arg("risk"), Class: args["class"]}
		o, ok := s.rule.Settle(said, &s.history)
		if !ok {
			return []string{"not settled"}
		}
		s.outcomes = append(s.outcomes, o)
		return []string{fmt.Sprintf("truth %v happened %v loss %.4g risk %.4g weight %v", o.Truth, o.Happened, o.Loss, o.RiskLoss, o.Weight)}
	case "measure":
		a := s.rule.Measure(s.outcomes)
		return []string{fmt.Sprintf("n %d valued %d happened %d loss %.4g brier %.4g rmse %.4g mae %.4g", a.N, a.Valued, a.Happened, a.Loss, a.Brier, a.RMSE, a.MAE),
			fmt.Sprintf("accuracy %.4g precision %.4g recall %.4g f1 %.4g auc %.4g", a.Accuracy, a.Precision, a.Recall, a.F1, a.AUC)}
	case "versions":
		for _, p := range Pairs(s.outcomes, words[0], words[1]) {
			out = append(out, fmt.Sprintf("end %v gain %.4g risk gain %.4g", float64(p.Champion.End)/1e9, p.Gain(), p.RiskGain()))
		}
	default:
		s.t.Fatalf("no command %q", f[0])
	}
	return out
}

func TestAUCOfTies(t *testing.T) {
	all := []Outcome{{Risk: 0.5, Happened: 1}, {Risk: 0.5}, {Risk: 0.1}, {Risk: 0.9, Happened: 1}}
	if got := auc(all); math.Abs(got-0.875) > 1e-12 {
		t.Errorf("%v", got)
	}
}
