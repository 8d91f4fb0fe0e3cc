package main

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"andon/deploy"
	"andon/event"
	"andon/ingest"
	"andon/model"
	"andon/processors"
	"andon/processors/drift"
	"andon/processors/features"
)

// plants are fleets whose assets have levels of their own, move slowly about them, wear as they age, and share the weather: nothing changes, and hardly two rows are independent.
type plants struct{}

var (
	plantNames = []string{"heat", "flow", "sum", "noise", "age", "prediction", "risk"}
	plantRoles = []string{event.RoleInput, event.RoleInput, event.RoleInput, event.RoleInput, event.RoleInput, event.RolePrediction, event.RolePrediction}
)

// run lets a plant of so many assets run until see says that it is enough.
func (plants) run(r *rand.Rand, assets int, pull func(asset int, x []float64), see func(asset int, at int64, row []float64) bool) {
	level, state, age, weather := make([][2]float64, assets), make([][2]float64, assets), make([]float64, assets), 0.0
	for a := range assets {
		level[a], state[a], age[a] = [2]float64{r.NormFloat64(), r.NormFloat64()}, [2]float64{r.NormFloat64(), r.NormFloat64()}, float64(r.IntN(200))
	}
	for at := int64(0); ; at++ {
		weather = .9*weather + .1*r.NormFloat64()
		for a := range assets {
			for k := range 2 { // an autoregression whose memory is twenty slots
				state[a][k] = .95*state[a][k] + math.Sqrt(1-.95*.95)*r.NormFloat64()
			}
			if age[a]++; age[a] > 200 {
				age[a], level[a] = 0, [2]float64{r.NormFloat64(), r.NormFloat64()}
			}
			heat, flow := level[a][0]+state[a][0]+age[a]/50+weather, level[a][1]+state[a][1]-age[a]/100
			x := []float64{heat, flow, heat + flow + .3*r.NormFloat64(), r.NormFloat64()}
			if pull != nil {
				pull(a, x)
			}
			row := append(x, age[a], 100-10*x[0]+5*x[1], 1/(1+math.Exp(2-x[0])))
			if !see(a, at, row) {
				return
			}
		}
	}
}

func (p plants) reference(seed uint64) drift.Rows {
	r := rand.New(rand.NewPCG(seed, 100))
	rows := drift.Rows{From: event.ReferenceModel, Names: plantNames, Roles: plantRoles, Condition: 4, Piece: 500, Risk: 6, Threshold: .5}
	p.run(r, 60, nil, func(a int, at int64, row []float64) bool {
		yes := int8(0)
		if r.Float64() < row[6] {
			yes = 1
		}
		rows.Values, rows.Asset, rows.At, rows.Yes = append(rows.Values, row...), append(rows.Asset, int32(a)), append(rows.At, at), append(rows.Yes, yes)
		rows.Loss = append(rows.Loss, math.Min(math.Max(.1+.05*row[0]+.02*r.NormFloat64(), 0), 1))
		return len(rows.At) < 12_000
	})
	return rows
}

func (p plants) play(seed uint64, windows int, c *planted, from int, see func(asset string, at int64, row []float64)) {
	n, assets := 0, []int{100, 40, 12}[seed%3]
	last := make([][]float64, assets)
	sd := []float64{1.9, 1.5, 2, 1}
	p.run(rand.New(rand.NewPCG(seed, 200)), assets, func(a int, x []float64) {
		if c != nil && n >= from {
			c.pull(seed, a, x, sd, last[a])
		} else {
			last[a] = slices.Clone(x)
		}
	}, func(a int, at int64, row []float64) bool {
		see(fmt.Sprintf("asset-%d", a), at*3600e9, row)
		n++
		return n < windows
	})
}

// column returns planted's blame for one column.
func column(j int) func(uint64) int { return func(uint64) int { return j } }

func nothing(uint64) int { return -1 }

var plantChanges = []planted{
	{"noise +0.5 sd", func(_ uint64, _ int, x, sd, _ []float64) { x[3] += .5 * sd[3] }, column(3), nil},
	{"noise +1 sd of all", func(_ uint64, _ int, x, sd, _ []float64) { x[3] += sd[3] }, column(3), nil},
	{"noise +2 sd", func(_ uint64, _ int, x, sd, _ []float64) { x[3] += 2 * sd[3] }, column(3), nil},
	{"heat (autocorrelated, wears, weather) +2 sd", func(_ uint64, _ int, x, sd, _ []float64) { x[0] += 2 * sd[0]; x[2] += 2 * sd[0] }, column(0), nil},
	{"noise doubles", func(_ uint64, _ int, x, _, _ []float64) { x[3] *= 2 }, column(3), nil},
	{"flow is stuck", func(_ uint64, _ int, x, _, last []float64) {
		if last != nil {
			x[1] = last[1]
		}
	}, column(1), nil},
	{"noise is missing in one of three", func(_ uint64, a int, x, _, _ []float64) {
		if a%3 == 0 {
			x[3] = math.NaN()
		}
	}, column(3), nil},
	{"heat in another unit (x 1.8)", func(_ uint64, _ int, x, _, _ []float64) { x[0] *= 1.8 }, column(0), nil},
	{"noise of one group, every third asset, +1 sd", func(_ uint64, a int, x, sd, _ []float64) {
		if a%3 == 0 {
			x[3] += sd[3]
		}
	}, column(3), map[string]string{"third": "-([0369]|[147][258]|[258][147]|[369][0369])$"}},
}

// engines are those of C-MAPSS FD001 that run until they fail, as windows of the demo's pipeline: half of them are the reference, the others follow each other in lanes.
type engines struct {
	signals []string
	window  features.Config
	lives   [][][]float64
	known   map[uint64]lesson
}

// lesson is what a seed's reference engines say: the recipe with its scale, each sensor's deviation, and a line through the sensors that falls as engines wear, in the place of a model.
type lesson struct {
	recipe    model.Recipe
	sd, slope []float64
}

func readEngines() (*engines, error) {
	var file struct {
		Pipelines []struct {
			Name   string        `yaml:"name"`
			Source ingest.Source `yaml:"source"`
			Window yaml.Node     `yaml:"window"`
		} `yaml:"pipelines"`
	}
	if err := yaml.Unmarshal(deploy.Config, &file); err != nil {
		return nil, fmt.Errorf("read the reference configuration: %w", err)
	}
	e := &engines{known: map[uint64]lesson{}}
	for _, p := range file.Pipelines {
		if p.Name == "compressors" {
			e.signals = p.Source.Signals
			if err := p.Window.Decode(&e.window); err != nil {
				return nil, fmt.Errorf("read the reference configuration: %w", err)
			}
		}
	}
	e.window.Recipe.Signals = e.signals
	f, err := deploy.Demo().Open("fd001_train.csv.gz")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	all, err := csv.NewReader(z).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, line := range all[1:] {
		unit, err := strconv.Atoi(line[0])
		if err != nil {
			return nil, err
		}
		var x []float64
		for _, s := range e.signals {
			v, err := strconv.ParseFloat(line[slices.Index(all[0], s)], 64)
			if err != nil {
				return nil, err
			}
			x = append(x, v)
		}
		for len(e.lives) < unit {
			e.lives = append(e.lives, nil)
		}
		e.lives[unit-1] = append(e.lives[unit-1], x)
	}
	return e, nil
}

// half tells which engines are of the reference.
func (e *engines) half(seed uint64) (reference, later []int) {
	order := rand.New(rand.NewPCG(seed, 300)).Perm(len(e.lives))
	return order[:len(order)/2], order[len(order)/2:]
}

// windows makes an engine's windows, of which only the newest slot counts here; pull may be nil.
func (e *engines) windows(recipe *model.Recipe, engine, from int, pull func(cycle int, x []float64), see func(cycle int, row []float32)) {
	var rows []event.Row
	first := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for c, x := range e.lives[engine] {
		x = slices.Clone(x)
		if pull != nil {
			pull(c, x)
		}
		rows = append(rows, event.Row{Asset: "e", Time: first.Add(time.Duration(c) * time.Hour).UnixNano(), Values: x})
	}
	width := recipe.Width()
	err := e.window.Windows(recipe, rows, func(end int64, w []float32) {
		if c := int((end-first.UnixNano())/int64(time.Hour)) - 1; c >= from {
			see(c, w[len(w)-width:])
		}
	})
	if err != nil {
		panic(err) // the recording is whole and in order
	}
}

func (e *engines) learned(seed uint64) (recipe model.Recipe, sd, slope []float64) {
	if l, ok := e.known[seed]; ok {
		return l.recipe, l.sd, l.slope
	}
	defer func() { e.known[seed] = lesson{recipe, sd, slope} }()
	reference, _ := e.half(seed)
	recipe = e.window.Recipe
	n := float64(0)
	var mean, squares, age []float64
	for pass := range 2 {
		for _, k := range reference {
			e.windows(&recipe, k, 0, nil, func(c int, row []float32) {
				if mean == nil {
					mean, squares, age = make([]float64, len(row)), make([]float64, len(row)), make([]float64, len(row))
				}
				for j, v := range row {
					if pass == 0 {
						mean[j] += float64(v)
					} else {
						squares[j] += (float64(v) - mean[j]) * (float64(v) - mean[j])
						age[j] += (float64(v) - mean[j]) * float64(c-100)
					}
				}
				if pass == 0 {
					n++
				}
			})
		}
		if pass == 0 {
			for j := range mean {
				mean[j] /= n
			}
		}
	}
	for j := range mean {
		s := math.Max(math.Sqrt(squares[j]/n), 1e-9)
		recipe.Scale = append(recipe.Scale, model.Scale{Mean: mean[j], Std: s})
		slope = append(slope, math.Copysign(1, age[j]))
	}
	raw := make([][2]float64, len(e.signals))
	n = 0
	for _, k := range reference {
		for _, x := range e.lives[k] {
			n++
			for j, v := range x {
				d := v - raw[j][0]
				raw[j][0] += d / n
				raw[j][1] += d * (v - raw[j][0])
			}
		}
	}
	for _, m := range raw {
		sd = append(sd, math.Sqrt(m[1]/n))
	}
	return recipe, sd, slope
}

// row is a window's row: its channels, and what stands in a model's place.
func (e *engines) row(newest []float32, slope []float64) []float64 {
	out, worn := make([]float64, 0, len(newest)+2), 0.0
	for j, v := range newest {
		out = append(out, float64(v))
		if j < len(e.signals) {
			worn += slope[j] * float64(v) / float64(len(e.signals))
		}
	}
	life := math.Min(90-50*worn, 125)
	return append(out, life, 1/(1+math.Exp((life-30)/10)))
}

func (e *engines) reference(seed uint64) drift.Rows {
	recipe, _, slope := e.learned(seed)
	reference, _ := e.half(seed)
	rows := processors.WatchRows(&recipe, 500)
	for _, k := range reference {
		life := len(e.lives[k])
		e.windows(&recipe, k, 0, nil, func(c int, newest []float32) {
			row := e.row(newest, slope)
			rows.Values, rows.Asset, rows.At = append(rows.Values, row...), append(rows.Asset, int32(k)), append(rows.At, int64(c)*3600e9)
			rows.Loss = append(rows.Loss, math.Abs(row[len(row)-2]-math.Min(float64(life-c), 125))/125)
			yes := int8(0)
			if life-c <= 30 {
				yes = 1
			}
			rows.Yes = append(rows.Yes, yes)
		})
	}
	rows.Risk = len(rows.Names) - 1
	return rows
}

// lanes is how many engines run at once.
const lanes = 40

func (e *engines) play(seed uint64, windows int, p *planted, from int, see func(asset string, at int64, row []float64)) {
	recipe, sd, slope := e.learned(seed)
	_, later := e.half(seed)
	r := rand.New(rand.NewPCG(seed, 400))
	type cycle struct {
		asset string
		row   []float64
	}
	queue := []int(nil)
	feed := make([][]cycle, lanes)
	n, number := 0, 0
	for at := int64(0); ; at++ {
		for lane := range feed {
			for len(feed[lane]) == 0 {
				if len(queue) == 0 {
					for _, k := range r.Perm(len(later)) {
						queue = append(queue, later[k])
					}
				}
				engine := queue[0]
				queue = queue[1:]
				number++
				name, start := fmt.Sprintf("engine-%d", number), 0
				if at == 0 {
					start = r.IntN(len(e.lives[engine]) - recipe.Length)
				}
				// Windows come one a round of the lanes: so many are told before this engine's cycle.
				first, last := 0, []float64(nil)
				var pull func(c int, x []float64)
				if p != nil {
					first = n
					pull = func(c int, x []float64) {
						if first+(c-max(start, recipe.Length-1))*lanes >= from {
							p.pull(seed, number, x, sd, last)
						} else {
							last = slices.Clone(x)
						}
					}
				}
				e.windows(&recipe, engine, start, pull, func(_ int, newest []float32) {
					feed[lane] = append(feed[lane], cycle{name, e.row(newest, slope)})
				})
			}
			c := feed[lane][0]
			feed[lane] = feed[lane][1:]
			see(c.asset, at*3600e9, c.row)
			if n++; n >= windows {
				return
			}
		}
	}
}

// changes are planted into the readings of one sensor, another for each seed, before windows are made of them.
func (e *engines) changes() []planted {
	sensor := func(seed uint64) int { return int(seed) % len(e.signals) }
	shift := func(name string, by float64, of func(asset int) bool, groups map[string]string) planted {
		return planted{name, func(seed uint64, a int, x, sd, _ []float64) {
			if j := sensor(seed); of(a) {
				x[j] += by * sd[j]
			}
		}, sensor, groups}
	}
	all := func(int) bool { return true }
	return []planted{
		shift("a sensor +0.5 sd", .5, all, nil),
		shift("a sensor +1 sd of all", 1, all, nil),
		shift("a sensor +2 sd", 2, all, nil),
		{"a sensor's spread about its value triples", func(seed uint64, _ int, x, sd, last []float64) {
			if j := sensor(seed); last != nil {
				x[j] += 2 * (x[j] - last[j])
			}
		}, sensor, nil},
		{"a sensor is stuck", func(seed uint64, _ int, x, _, last []float64) {
			if j := sensor(seed); last != nil {
				x[j] = last[j]
			}
		}, sensor, nil},
		{"a sensor in another unit (x 1.8)", func(seed uint64, _ int, x, _, _ []float64) { x[sensor(seed)] *= 1.8 }, sensor, nil},
		shift("a sensor of one group, every third engine, +1 sd", 1, func(a int) bool { return a%3 == 0 }, map[string]string{"third": "-([0369]|[147][258]|[258][147]|[369][0369]|[1-9][0-9][0-9])$"}),
		{"all sensors +0.5 sd", func(_ uint64, _ int, x, sd, _ []float64) {
			for j := range x {
				x[j] += .5 * sd[j]
			}
		}, nothing, nil},
	}
}
