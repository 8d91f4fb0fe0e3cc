package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"andon/console"
)

// labelCommand tells labels through a running appliance.
type labelCommand struct {
	appliance
	Pipeline string    `help:"The pipeline that it is for."`
	Asset    string    `help:"The machine or camera."`
	Time     string    `help:"When it happened, RFC 3339 with a zone; of a frame, when it was captured." placeholder:"INSTANT"`
	Until    string    `help:"The end of what lasted." placeholder:"INSTANT"`
	Kind     string    `help:"What happened: failure, anomaly, missed, normal, clear, or any word that the task knows, as the class of a frame."`
	Value    *float64  `help:"The number that belongs to it."`
	Box      []float64 `help:"Where in the frame: x0,y0,x1,y1 from 0 to 1." placeholder:"X0,Y0,X1,Y1"`
	Of       string    `help:"The record of a score, topic/partition@offset, instead of asset and time." placeholder:"RECORD"`
	Weight   float64   `help:"How much it counts in training, up to 1000; 0 is 1."`
	Golden   bool      `help:"Examine every model to come on it."`
	Missed   bool      `help:"The model should have seen it: missed, golden, and five times as heavy unless said otherwise."`
	Withdraw bool      `help:"Take back what was told of the same asset, time, kind and box."`
	Who      string    `help:"Who tells it." default:"${user}"`
	Note     string    `help:"Why, for people."`
	From     string    `help:"Read labels from standard input: csv, with a first line of names (pipeline, asset, time, label, …), or jsonl, one object a line. Flags fill in what they leave out." enum:",csv,jsonl" default:""`

	in io.Reader
}

// labelCall is how many labels one call to the appliance tells.
const labelCall = 500

func (c *labelCommand) Run(t *talk) error {
	flags := console.Label{Pipeline: c.Pipeline, Asset: c.Asset, Time: c.Time, Until: c.Until, Label: c.Kind, Value: c.Value, Box: c.Box, Of: c.Of, Weight: c.Weight, Golden: c.Golden,
		Withdrawn: c.Withdraw, Who: c.Who, Note: c.Note}
	in := c.in
	if in == nil {
		in = os.Stdin
	}
	var next func() (*console.Label, error)
	switch c.From {
	case "csv":
		next = csvLabels(in)
	case "jsonl":
		next = jsonLabels(in)
	default:
		one := &flags
		next = func() (*console.Label, error) {
			l := one
			if one = nil; l == nil {
				return nil, io.EOF
			}
			return l, nil
		}
		if c.Pipeline == "" || c.Kind == "" && !c.Missed || c.Of == "" && (c.Asset == "" || c.Time == "") {
			return usage(errors.New("a label needs --pipeline, --kind (or --missed), and --asset with --time, or --of; or read many --from csv or jsonl"))
		}
	}
	base, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	told := 0
	for done := false; !done; {
		ask := console.LabelsAsk{Missed: c.Missed}
		for len(ask.Labels) < labelCall {
			l, err := next()
			if errors.Is(err, io.EOF) {
				done = true
				break
			}
			if err != nil {
				return usage(fmt.Errorf("%w; %d labels were told", err, told))
			}
			fill(l, &flags)
			ask.Labels = append(ask.Labels, *l)
		}
		if len(ask.Labels) == 0 {
			break
		}
		var did console.LabelsAnswer
		if err := call(t.ctx, "POST", base+"/api/v1/labels", &ask, &did); err != nil {
			return fmt.Errorf("%w (of the %d after the first %d, none was told unless it says so)", err, len(ask.Labels), told)
		}
		told += len(did.At)
		if c.From == "" {
			fmt.Fprintln(t.out, did.At[0])
		}
	}
	if c.From != "" {
		fmt.Fprintf(t.err, "%d labels told\n", told)
	}
	return nil
}

// fill takes from the flags what a label leaves out.
func fill(l, flags *console.Label) {
	set := func(to *string, from string) {
		if *to == "" {
			*to = from
		}
	}
	set(&l.Pipeline, flags.Pipeline)
	set(&l.Label, flags.Label)
	set(&l.Who, flags.Who)
	set(&l.Note, flags.Note)
	if l.Of == "" {
		set(&l.Asset, flags.Asset)
		set(&l.Time, flags.Time)
	}
	if l.Weight == 0 {
		l.Weight = flags.Weight
	}
	l.Golden, l.Withdrawn = l.Golden || flags.Golden, l.Withdrawn || flags.Withdrawn
}

// jsonLabels reads one object a line.
func jsonLabels(in io.Reader) func() (*console.Label, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	n := 0
	return func() (*console.Label, error) {
		for lines.Scan() {
			n++
			if len(bytes.TrimSpace(lines.Bytes())) == 0 {
				continue
			}
			d := json.NewDecoder(bytes.NewReader(lines.Bytes()))
			d.DisallowUnknownFields()
			l := new(console.Label)
			if err := d.Decode(l); err != nil {
				return nil, fmt.Errorf("line %d: %w", n, err)
			}
			return l, nil
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		return nil, io.EOF
	}
}

// labelColumns are the names that a CSV file may have; the corners of a box are four columns.
var labelColumns = []string{"pipeline", "asset", "time", "until", "label", "value", "x0", "y0", "x1", "y1", "of", "weight", "golden", "withdrawn", "who", "note"}

// csvLabels reads a table with a line of names.
func csvLabels(in io.Reader) func() (*console.Label, error) {
	r := csv.NewReader(in)
	r.ReuseRecord, r.TrimLeadingSpace = true, true
	var names []string
	return func() (*console.Label, error) {
		if names == nil {
			head, err := r.Read()
			if err != nil {
				return nil, err
			}
			names = slices.Clone(head)
			for _, n := range names {
				if !slices.Contains(labelColumns, n) {
					return nil, fmt.Errorf("the first line names %q, which is not one of %s", n, strings.Join(labelColumns, ", "))
				}
			}
		}
		row, err := r.Read()
		if err != nil {
			return nil, err
		}
		l := new(console.Label)
		line, _ := r.FieldPos(0)
		for i, text := range row {
			if text == "" {
				continue
			}
			if err := setColumn(l, names[i], text); err != nil {
				return nil, fmt.Errorf("line %d: %s: %w", line, names[i], err)
			}
		}
		return l, nil
	}
}

func setColumn(l *console.Label, name, text string) error {
	switch name {
	case "pipeline":
		l.Pipeline = text
	case "asset":
		l.Asset = text
	case "time":
		l.Time = text
	case "until":
		l.Until = text
	case "label":
		l.Label = text
	case "of":
		l.Of = text
	case "who":
		l.Who = text
	case "note":
		l.Note = text
	case "golden", "withdrawn":
		yes, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		if name == "golden" {
			l.Golden = yes
		} else {
			l.Withdrawn = yes
		}
	default:
		x, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		switch name {
		case "value":
			l.Value = &x
		case "weight":
			l.Weight = x
		default:
			if l.Box == nil {
				l.Box = make([]float64, 4)
			}
			l.Box[slices.Index([]string{"x0", "y0", "x1", "y1"}, name)] = x
		}
	}
	return nil
}
