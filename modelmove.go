package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime/multipart"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"andon/model"
	"andon/model/adopt"
	"andon/model/onnx"
)

// byWhom is who moves or brings a model, and why.
type byWhom struct {
	Who string `help:"Who does it, for the record." default:"${user}" placeholder:"NAME"`
	Why string `help:"Why, for the record." placeholder:"TEXT"`
}

type modelPush struct {
	appliance
	byWhom
	Pipeline string  `help:"The pipeline that is to use it." required:""`
	Spec     string  `help:"YAML that says which of the file's inputs and outputs are what." type:"existingfile" placeholder:"FILE"`
	MLmodel  string  `name:"mlmodel" help:"Folder of a model that MLflow keeps, with the file MLmodel; instead of FILE." type:"existingdir" placeholder:"DIR"`
	Alias    string  `help:"Point this alias at it, too." enum:",champion,challenger,shadow,canary" default:""`
	Percent  float64 `help:"A canary's share of the assets." default:"10"`
	JSON     bool    `name:"json" help:"Print JSON."`
	File     string  `arg:"" optional:"" help:"The ONNX file." type:"existingfile"`
}

func (c *modelPush) Run(t *talk) error {
	at, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	form, kind, err := c.form()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(t.ctx, 15*time.Minute)
	defer cancel()
	data, err := send(ctx, "POST", at+"/api/v1/models", kind, form)
	if err != nil {
		return err
	}
	var s shownModel
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if s.Known {
		fmt.Fprintf(t.err, "%s of %s was there already\n", s.Version, s.Pipeline)
	} else {
		fmt.Fprintf(t.err, "%s of %s is registered\n", s.Version, s.Pipeline)
	}
	if c.Alias != "" {
		if _, err := c.move(t, at, s.Pipeline, model.Alias(c.Alias), s.Version, c.Percent, c.byWhom); err != nil {
			return err
		}
	}
	if c.JSON {
		_, err = t.out.Write(data)
		return err
	}
	_, err = fmt.Fprintln(t.out, s.Version)
	return err
}

// form packs the file and what stands beside it. Numbers that the file keeps in others beside it are brought into it here, where those are.
func (c *modelPush) form() (*bytes.Buffer, string, error) {
	var beside, text []byte
	var err error
	if c.MLmodel != "" {
		if c.File != "" {
			return nil, "", usage(fmt.Errorf("--mlmodel names the file %s itself: leave %s away", filepath.Join(c.MLmodel, "MLmodel"), c.File))
		}
		if beside, err = os.ReadFile(filepath.Join(c.MLmodel, "MLmodel")); err != nil {
			return nil, "", usage(err)
		}
		ml, err := adopt.ReadMLmodel(beside)
		if err != nil {
			return nil, "", usage(err)
		}
		c.File = filepath.Join(c.MLmodel, filepath.FromSlash(ml.Data))
	}
	if c.File == "" {
		return nil, "", usage(fmt.Errorf("name the ONNX file, or MLflow's folder with --mlmodel"))
	}
	if c.Spec != "" {
		if text, err = os.ReadFile(c.Spec); err != nil {
			return nil, "", usage(err)
		}
	}
	file, err := os.ReadFile(c.File)
	if err != nil {
		return nil, "", usage(err)
	}
	if facts, err := onnx.Inspect(file); err == nil && len(facts.External) > 0 {
		file, err = onnx.Inline(file, func(location string) ([]byte, error) {
			if !filepath.IsLocal(location) {
				return nil, fmt.Errorf("%q is not beside %s", location, c.File)
			}
			return os.ReadFile(filepath.Join(filepath.Dir(c.File), location))
		})
		if err != nil {
			return nil, "", usage(fmt.Errorf("%s: %w", c.File, err))
		}
	}
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, f := range []struct{ name, value string }{{"pipeline", c.Pipeline}, {"who", c.Who}, {"why", c.Why}, {"spec", string(text)}, {"mlmodel", string(beside)}} {
		if f.value != "" && err == nil {
			err = w.WriteField(f.name, f.value)
		}
	}
	part, err2 := w.CreateFormFile("model", filepath.Base(c.File))
	if err == nil {
		err = err2
	}
	if err == nil {
		_, err = part.Write(file)
	}
	if err == nil {
		err = w.Close()
	}
	return &b, w.FormDataContentType(), err
}

type modelPull struct {
	appliance
	Pipeline string `help:"The pipeline, where several have a version that begins so."`
	Output   string `short:"o" help:"Where to; '-' is standard output. Without it PIPELINE-VERSION.onnx here." placeholder:"FILE"`
	Version  string `arg:"" help:"The version, or its first digits."`
}

func (c *modelPull) Run(t *talk) error {
	s, err := c.show(t, c.Pipeline, c.Version)
	if err != nil {
		return err
	}
	var file []byte
	if at, ok := c.running(); ok {
		ctx, cancel := context.WithTimeout(t.ctx, 15*time.Minute)
		defer cancel()
		file, err = send(ctx, "GET", at+"/api/v1/models/"+url.PathEscape(s.Pipeline)+"/"+s.Version+"/file", "", nil)
	} else if r, err2 := c.folder(); err2 == nil {
		var m *model.Model
		if m, err = r.Get(s.Pipeline, s.Version); err == nil {
			file = m.ONNX
		}
	} else {
		err = err2
	}
	if err != nil {
		return err
	}
	if m, err := model.Parse(file); err != nil || m.Version != s.Version {
		return fmt.Errorf("what came is not version %s: ask again", s.Version)
	}
	switch c.Output {
	case "-":
		_, err = t.out.Write(file)
		return err
	case "":
		c.Output = s.Pipeline + "-" + s.Version + ".onnx"
	}
	if err := os.WriteFile(c.Output, file, 0o644); err != nil {
		return environment(err)
	}
	fmt.Fprintf(t.err, "%s of %s, %d bytes, is in %s\n", s.Version, s.Pipeline, len(file), c.Output)
	return nil
}

type modelPromote struct {
	appliance
	byWhom
	Pipeline string  `help:"The pipeline, where several have a version that begins so."`
	Alias    string  `help:"Which alias." enum:"champion,challenger,shadow,canary" default:"champion"`
	Percent  float64 `help:"A canary's share of the assets." default:"10"`
	JSON     bool    `name:"json" help:"Print the move as JSON."`
	Version  string  `arg:"" help:"The version, or its first digits."`
}

func (c *modelPromote) Run(t *talk) error {
	at, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	s, err := c.show(t, c.Pipeline, c.Version)
	if err != nil {
		return err
	}
	mv, err := c.move(t, at, s.Pipeline, model.Alias(c.Alias), s.Version, c.Percent, c.byWhom)
	if err == nil && c.JSON {
		err = json.NewEncoder(t.out).Encode(mv)
	}
	return err
}

// move points an alias at a version and tells it.
func (a *appliance) move(t *talk, at, pipeline string, alias model.Alias, version string, percent float64, by byWhom) (mv model.Move, err error) {
	ask := map[string]any{"alias": alias, "version": version, "who": by.Who, "why": by.Why}
	if alias == model.Canary && version != "" {
		ask["percent"] = percent
	}
	if err := call(t.ctx, "POST", at+"/api/v1/models/"+url.PathEscape(pipeline)+"/moves", ask, &mv); err != nil {
		return mv, err
	}
	told(t, mv)
	return mv, nil
}

func told(t *talk, mv model.Move) {
	if mv.To == "" {
		fmt.Fprintf(t.err, "%s has no %s any more, it was %s\n", mv.Pipeline, mv.Alias, mv.From)
		return
	}
	if mv.From == "" {
		fmt.Fprintf(t.err, "the %s of %s is %s\n", mv.Alias, mv.Pipeline, mv.To)
		return
	}
	fmt.Fprintf(t.err, "the %s of %s is %s, was %s\n", mv.Alias, mv.Pipeline, mv.To, mv.From)
}

type modelClear struct {
	appliance
	byWhom
	Alias    string `arg:"" help:"Which alias." enum:"challenger,shadow,canary"`
	Pipeline string `arg:"" help:"The pipeline."`
}

func (c *modelClear) Run(t *talk) error {
	at, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	_, err = c.move(t, at, c.Pipeline, model.Alias(c.Alias), "", 0, c.byWhom)
	return err
}

type modelRollback struct {
	appliance
	byWhom
	Alias    string `help:"Which alias." enum:"champion,challenger,shadow,canary" default:"champion"`
	JSON     bool   `name:"json" help:"Print the move as JSON."`
	Pipeline string `arg:"" help:"The pipeline."`
}

func (c *modelRollback) Run(t *talk) error {
	at, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	var mv model.Move
	ask := map[string]string{"alias": c.Alias, "who": c.Who, "why": c.Why}
	if err := call(t.ctx, "POST", at+"/api/v1/models/"+url.PathEscape(c.Pipeline)+"/rollback", ask, &mv); err != nil {
		return err
	}
	told(t, mv)
	if c.JSON {
		return json.NewEncoder(t.out).Encode(mv)
	}
	return nil
}
