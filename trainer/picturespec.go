package trainer

import (
	"fmt"
	"slices"
	"time"

	"andon/event"
	"andon/model"
	"andon/trainer/fit"
)

// PictureSpec is the part of a Spec that tasks of pictures have: what the network takes of a frame and tells, and which frames it learns from.
type PictureSpec struct {
	// Width and Height are of the network's input, in pixels.
	Width  int `yaml:"width"`
	Height int `yaml:"height"`
	// Labels are the classes, by the kinds of labels that name them. Normal is the class of a classification that means nothing to see; labels of the kind clear are of it.
	Labels []string `yaml:"labels"`
	Normal string   `yaml:"normal"`
	// Unseen are those of Labels that a network may be trained without: nobody has a frame of them yet. It then never says them, and learns them in the run after the first labels.
	Unseen []string `yaml:"unseen"`
	// Threshold is the least confidence of a box, 0 for the one that does best on the validation part; of a class, what it must reach to be told. Overlap is as in model.Picture.
	Threshold float32 `yaml:"threshold"`
	Overlap   float32 `yaml:"overlap"`
	// Stages are the channels of the network's stages, each of which halves the sides; Blocks its residual blocks: in each stage of a classifier, behind the last of a detector.
	Stages []int `yaml:"stages"`
	Blocks int   `yaml:"blocks"`
	// MinFrames is how many frames must have labels before the first training.
	MinFrames int `yaml:"min_frames"`
	// Block is the stretch of a camera's time that is kept together when frames are kept from training: neighbouring frames are near copies.
	Block time.Duration `yaml:"block"`
	// Augment says how frames may also look.
	Augment AugmentSpec `yaml:"augment"`
}

// AugmentSpec says how frames may also look in training; only what leaves their labels true.
type AugmentSpec struct {
	// Mirror left and right, Flip also top and bottom, Turn by quarters, which wants a square input.
	Mirror bool `yaml:"mirror"`
	Flip   bool `yaml:"flip"`
	Turn   bool `yaml:"turn"`
	// Shift, Zoom, Brightness and Contrast are shares, of the shorter side, of the size, of white, and of the spread.
	Shift      float64 `yaml:"shift"`
	Zoom       float64 `yaml:"zoom"`
	Brightness float64 `yaml:"brightness"`
	Contrast   float64 `yaml:"contrast"`
}

// pictured reports whether a task is of pictures.
func pictured(t model.Task) bool { return t == model.Classification || t == model.Detection }

// pictureDefaults sets what differs from models of windows.
func (s *Spec) pictureDefaults() {
	s.Network, s.Unit = "cnn", ""
	s.Batch = 16
	s.Epochs, s.Patience = 15, 15 // more gained nothing on the demo's cameras; some stand on a plateau for half of it before they learn, as where frames of day and night are mixed
	s.Decay, s.Clip = 0.05, 5
	s.Average = 0.95
	s.Dropout = 0.1
	s.Shards = 2
	s.Validation = 0.2
	// Frames and labels come by different topics.
	s.Settle = 5 * time.Second
	s.Picture = &PictureSpec{
		// A class is told from the whole picture: 9,000 pixels show what fills a tenth of it.
		Width: 128, Height: 72, Stages: []int{16, 32, 64}, Threshold: 0.5,
		MinFrames: 60, Block: time.Second,
		Augment: AugmentSpec{Mirror: true, Shift: 0.06, Brightness: 0.2, Contrast: 0.3},
	}
	if s.Task == model.Detection {
		// A thing of a twentieth of the frame is a cell and a half wide.
		p := s.Picture
		p.Width, p.Height, p.Stages, p.Blocks, p.Threshold, p.Overlap = 240, 136, []int{16, 32, 48}, 1, 0, 0.45
		p.Augment.Zoom = 0.2
		s.Batch = 8
		s.Epochs, s.Patience = 25, 15 // where a thing lies is learned more slowly than that there is one
	}
}

// pictureFaults reports every fault with its key.
func (s *Spec) pictureFaults(f *faults) {
	p := s.Picture
	f.check(s.Network == "cnn", "network", s.Network, "cnn")
	f.check(s.Settle >= 0, "settle", s.Settle, "0 or more")
	plain := DefaultSpec(s.Task)
	const other = "for models of pictures, which have no such setting: take it out"
	f.check(s.Hidden == plain.Hidden, "hidden", s.Hidden, other+", and see picture.stages")
	f.check(s.Layers == plain.Layers, "layers", s.Layers, other+", and see picture.stages")
	f.check(s.Search.Trials <= 1, "search.trials", s.Search.Trials, other)
	f.check(len(s.Search.Networks) == 0, "search.networks", s.Search.Networks, other)
	f.check(s.Search.Keep <= 1, "search.keep", s.Search.Keep, other)
	f.check(s.Search.Budget == 0, "search.budget", s.Search.Budget, other)
	f.check(!s.Censored, "censored", s.Censored, other)
	f.check(s.Cap == plain.Cap, "cap", s.Cap, other)
	f.check(s.Horizon == plain.Horizon, "horizon", s.Horizon, other)
	f.check(s.MinAssets == plain.MinAssets, "min_assets", s.MinAssets, other+", and see picture.min_frames")
	f.check(s.MinRows == plain.MinRows, "min_rows", s.MinRows, other+", and see picture.min_frames")
	if p == nil {
		f.check(false, "picture", "nothing", "what the network takes of a frame, and its labels")
		return
	}
	least := 2
	if s.Task == model.Detection {
		least = 1
	}
	f.check(p.Width >= 16 && p.Width <= 1280, "picture.width", p.Width, "between 16 and 1280")
	f.check(p.Height >= 16 && p.Height <= 1280, "picture.height", p.Height, "between 16 and 1280")
	f.check(len(p.Labels) >= least, "picture.labels", p.Labels, fmt.Sprintf("%d or more names", least))
	for i, l := range p.Labels {
		f.check(l != "" && !slices.Contains(p.Labels[:i], l), fmt.Sprintf("picture.labels[%d]", i), l, "a name of its own")
	}
	f.check(p.Normal == "" || s.Task == model.Classification && slices.Contains(p.Labels, p.Normal), "picture.normal", p.Normal, "one of a classification's labels")
	for i, l := range p.Unseen {
		f.check(slices.Contains(p.Labels, l) && l != p.Normal, fmt.Sprintf("picture.unseen[%d]", i), l, "one of picture.labels, and not the normal one")
	}
	f.check(len(p.Labels)-len(p.Unseen) >= least || len(p.Labels) < least, "picture.unseen", p.Unseen, fmt.Sprintf("fewer: %d labels must have frames for the first training", least))
	f.check(p.Threshold >= 0 && p.Threshold < 1, "picture.threshold", p.Threshold, "0 or more and less than 1")
	f.check(p.Overlap >= 0 && p.Overlap <= 1, "picture.overlap", p.Overlap, "between 0 and 1")
	f.check(len(p.Stages) >= 1 && len(p.Stages) <= 6, "picture.stages", p.Stages, "one to six numbers of channels")
	for i, n := range p.Stages {
		f.check(n >= 1 && n <= 512, fmt.Sprintf("picture.stages[%d]", i), n, "between 1 and 512")
	}
	f.check(p.Blocks >= 0 && p.Blocks <= 8, "picture.blocks", p.Blocks, "between 0 and 8")
	f.check(p.MinFrames >= 4, "picture.min_frames", p.MinFrames, "at least 4")
	f.check(p.Block > 0, "picture.block", p.Block, "a positive duration")
	a := &p.Augment
	f.check(a.Shift >= 0 && a.Shift <= 0.5, "picture.augment.shift", a.Shift, "between 0 and 0.5")
	f.check(a.Zoom >= 0 && a.Zoom <= 0.5, "picture.augment.zoom", a.Zoom, "between 0 and 0.5")
	f.check(a.Brightness >= 0 && a.Brightness < 1, "picture.augment.brightness", a.Brightness, "0 or more and less than 1")
	f.check(a.Contrast >= 0 && a.Contrast < 1, "picture.augment.contrast", a.Contrast, "0 or more and less than 1")
	f.check(!a.Turn || p.Width == p.Height, "picture.augment.turn", a.Turn, "for other than square inputs")
}

func (p *PictureSpec) augment() fit.Augment {
	a := &p.Augment
	return fit.Augment{Mirror: a.Mirror, Flip: a.Flip, Turn: a.Turn, Shift: int(a.Shift * float64(min(p.Width, p.Height))), Zoom: a.Zoom, Brightness: a.Brightness, Contrast: a.Contrast}
}

// class returns what a label of a kind says: the place of its class, or nothing to see, or neither.
func (p *PictureSpec) class(kind string) (class int, clear, known bool) {
	if i := slices.Index(p.Labels, kind); i >= 0 {
		return i, false, true
	}
	if kind == event.KindClear {
		return slices.Index(p.Labels, p.Normal), true, true
	}
	return 0, false, false
}
