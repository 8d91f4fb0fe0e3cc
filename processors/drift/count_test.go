package drift

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"syscall"
	"testing"

	"andon/event"
)

// The search without branches is the plain one.
func TestGrid(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	for n := 1; n <= mostEdges; n++ {
		edges := make([]float64, n)
		for i := range edges {
			edges[i] = math.Round(20 * r.NormFloat64())
		}
		slices.Sort(edges)
		g := gridOf(edges)
		check := func(x float64) {
			t.Helper()
			if got, want := g.bin(x), sort.Search(n, func(i int) bool { return edges[i] >= x }); got != want {
				t.Fatalf("%v of %v: bin %d, want %d", x, edges, got, want)
			}
		}
		for _, e := range append(slices.Clone(edges), 0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.MaxFloat64) {
			check(e)
			check(math.Nextafter(e, math.Inf(1)))
			check(math.Nextafter(e, math.Inf(-1)))
		}
	}
}

// What a piece counts is what its definition says, row by row, whatever is missing, however assets and groups are mixed, and however often the state is written down meanwhile.
func TestCountedByDefinition(t *testing.T) {
	profile := plantProfile(t, 83, 80, 200)
	r := rand.New(rand.NewPCG(5, 5))
	for trial, share := range []float64{0, .02, .5} {
		c := Default()
		c.Groups = map[string]string{"north": "[024]$"}
		groups := c.Compile()[:trial%2]
		plant, m := newPlant(uint64(trial), 70), NewMonitor(profile, 1000, groups)
		plant.pull = func(_ int, row []float64) {
			for j := range 4 {
				if r.Float64() < share {
					row[j] = math.NaN()
				} else if r.Float64() < share {
					row[j] = 100 * (r.Float64() - .5) // where the reference has no rows
				}
			}
		}
		type seen struct {
			asset string
			row   []float64
		}
		var rows []seen
		var sketches []event.Sketch
		for at := int64(0); len(sketches) == 0; at++ {
			plant.tick(func(a int, row []float64) {
				if len(sketches) > 0 {
					return
				}
				rows = append(rows, seen{fmt.Sprint(a), row})
				sketches = m.Add(fmt.Sprint(a), at, event.Position{}, row)
				if r.IntN(50) == 0 {
					m.AppendState(nil)
				}
			})
		}
		if len(rows) != 1000 || len(sketches) != len(groups)+1 {
			t.Fatalf("%d rows, %d sketches", len(rows), len(sketches))
		}
		for _, s := range sketches {
			number := map[string]int{}
			whole := *newClusters(len(profile.Features))
			counts := make([][]uint32, len(profile.Features))
			sums, missing := make([]float64, len(profile.Features)), make([]uint32, len(profile.Features))
			for j := range counts {
				counts[j] = make([]uint32, len(profile.Features[j].Edges)+1)
			}
			windows := 0
			for i, x := range rows {
				in := Fleet
				if len(groups) > 0 && groups[0].Match.MatchString(x.asset) {
					in = groups[0].Name
				}
				if in != s.Group {
					continue
				}
				windows++
				if _, ok := number[x.asset]; !ok {
					number[x.asset] = len(number)
					if number[x.asset] >= mostClusters {
						number[x.asset] = -1
					}
				}
				stratum := profile.stratumOf(x.row[4])
				residual := make([]float64, 0, len(profile.Features)*tests)
				for j := range profile.Features {
					f := &profile.Features[j]
					var v float64
					switch {
					case f.Input >= 0:
						v = x.row[f.Input]
					case f.Role == event.RoleTogether:
						v = math.NaN()
						if x.row[0]+x.row[1]+x.row[2]+x.row[3] == x.row[0]+x.row[1]+x.row[2]+x.row[3] {
							v = profile.apart(x.row, make([]float64, 4))
						}
					default:
						v = profile.losses(x.row)
					}
					bin := 0
					if v != v {
						missing[j]++
					} else {
						bin = sort.SearchFloat64s(f.Edges, v)
						counts[j][bin]++
						sums[j] += v
					}
					a, b, d := f.residuals(stratum, bin, v)
					residual = append(residual, a, b, d)
				}
				if share > 0 && number[x.asset] < 0 || number[x.asset] < 0 {
					number[x.asset] = mostClusters // compared without those that share a cluster
				}
				whole.add(number[x.asset], i*parts/1000, residual)
			}
			if s.Windows != windows {
				t.Fatalf("%s: %d windows, want %d", s.Group, s.Windows, windows)
			}
			for j, f := range s.Features {
				std, mean := profile.Features[j].Std, profile.Features[j].Mean
				if !slices.Equal(f.Counts, counts[j]) || f.Missing != missing[j] || math.Abs(f.Sum-(sums[j]*std+float64(windows-int(missing[j]))*mean)) > 1e-9*math.Abs(f.Sum)+1e-9 {
					t.Errorf("trial %d, %s, %s: counts %v, %d missing, sum %v; want %v, %d, %v", trial, s.Group, f.Name, f.Counts, f.Missing, f.Sum, counts[j], missing[j], sums[j])
				}
				for k := range tests {
					got, want := f.Tests[k], whole.sums(j, k)
					for _, pair := range [][2]float64{{got.Sum, want.Sum}, {got.Square, want.Square}, {got.BlockSquare, want.BlockSquare}, {got.BlockCross, want.BlockCross}} {
						if math.Abs(pair[0]-pair[1]) > 1e-8*(1+math.Abs(pair[1])) {
							t.Errorf("trial %d, %s, %s, test %d: %+v, want %+v", trial, s.Group, f.Name, k, got, want)
						}
					}
					if len(number) <= mostClusters && math.Abs(got.ClusterSquare-want.ClusterSquare) > 1e-8*(1+want.ClusterSquare) {
						t.Errorf("trial %d, %s, %s, test %d: clusters %v, want %v", trial, s.Group, f.Name, k, got.ClusterSquare, want.ClusterSquare)
					}
				}
			}
		}
	}
}

// A window of 28 channels, an age and what a model says of it, of a hundred assets: CPU time a window, sketches included.
func BenchmarkMonitor(b *testing.B) {
	const channels, assets, piece = 28, 100, 500
	r := rand.New(rand.NewPCG(1, 1))
	rows := Rows{From: event.ReferenceModel, Condition: channels, Piece: piece, Risk: channels + 2, Threshold: .5}
	for j := range channels + 3 {
		rows.Names = append(rows.Names, fmt.Sprint("c", j))
		rows.Roles = append(rows.Roles, event.RoleInput)
	}
	rows.Roles[channels+1], rows.Roles[channels+2] = event.RolePrediction, event.RolePrediction
	row := func(age int) []float64 {
		wear := r.NormFloat64()
		out := make([]float64, 0, channels+3)
		for j := range channels {
			out = append(out, float64(float32(wear*float64(j%5)/5+r.NormFloat64())))
		}
		return append(out, float64(age), 50-10*wear, 1/(1+math.Exp(-wear)))
	}
	for i := range 20_000 {
		x := row(i / assets)
		rows.Values, rows.Asset, rows.At = append(rows.Values, x...), append(rows.Asset, int32(i%assets)), append(rows.At, int64(i/assets))
		rows.Loss, rows.Yes = append(rows.Loss, math.Min(math.Abs(x[0]+x[5]+x[9])/9, 1)), append(rows.Yes, int8(r.IntN(2)))
	}
	profile, err := NewProfile(rows)
	if err != nil {
		b.Fatal(err)
	}
	var seen [][]float64
	names := make([]string, assets)
	for i := range 5000 {
		seen = append(seen, row(i/assets*4))
		names[i%assets] = fmt.Sprintf("compressor-%03d", i%assets)
	}
	m := NewMonitor(profile, piece, nil)
	b.ReportAllocs()
	b.ResetTimer()
	begun := cpuTime(b)
	for i := range b.N {
		m.Add(names[i%assets], int64(i/assets), event.Position{}, seen[i%len(seen)])
	}
	b.ReportMetric(float64(cpuTime(b)-begun)/float64(b.N), "cpu-ns/window")
}

func cpuTime(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}
