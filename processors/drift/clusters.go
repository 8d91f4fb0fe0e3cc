package drift

import (
	"math"

	"andon/event"
)

// clusters gathers the sums of residuals by asset and by part of time, for a number of features.
type clusters struct {
	features int
	// n is of an asset's rows, by its number; blocks of a part of time's.
	n      []float64
	blocks [parts]float64
	// assets and times hold the sums, by number, then feature, then test.
	assets, times         []float64
	whole, square         []float64 // by feature, then test
	squares, blockSquares float64
}

func newClusters(features int) *clusters {
	return &clusters{features: features, times: make([]float64, parts*features*tests), whole: make([]float64, features*tests), square: make([]float64, features*tests)}
}

// total makes whole of the parts of time, for who has not added to it.
func (c *clusters) total() {
	clear(c.whole)
	width := c.features * tests
	for b := range parts {
		for i, v := range c.times[b*width : (b+1)*width] {
			c.whole[i] += v
		}
	}
}

// row counts a row of an asset and a part of time, and returns where their residuals go.
func (c *clusters) row(asset, part int) (byAsset, byTime []float64) {
	width := c.features * tests
	for asset >= len(c.n) {
		c.n, c.assets = append(c.n, 0), append(c.assets, make([]float64, width)...)
	}
	// (n+1)² - n²
	c.squares += 2*c.n[asset] + 1
	c.blockSquares += 2*c.blocks[part] + 1
	c.n[asset]++
	c.blocks[part]++
	return c.assets[asset*width : (asset+1)*width], c.times[part*width : (part+1)*width]
}

// add counts a row with its residuals, by feature, then test.
func (c *clusters) add(asset, part int, residuals []float64) {
	a, t := c.row(asset, part)
	for i, r := range residuals {
		a[i] += r
		t[i] += r
		c.whole[i] += r
		c.square[i] += float64(r * r)
	}
}

// sums returns what a test of one feature needs, without what the reference says.
func (c *clusters) sums(feature, test int) event.Sums {
	i, width := feature*tests+test, c.features*tests
	s := event.Sums{Sum: c.whole[i], Square: c.square[i]}
	for a, n := range c.n {
		v := c.assets[a*width+i]
		s.ClusterSquare += float64(v * v)
		s.ClusterCross += float64(v * n)
	}
	for b, n := range c.blocks {
		v := c.times[b*width+i]
		s.BlockSquare += float64(v * v)
		s.BlockCross += float64(v * n)
	}
	return s
}

// counted returns how many parts of time have rows.
func (c *clusters) counted() (blocks int) {
	for _, n := range c.blocks {
		if n > 0 {
			blocks++
		}
	}
	return blocks
}

func (c *clusters) reset() {
	clear(c.n)
	c.n, c.assets = c.n[:0], c.assets[:0]
	clear(c.times)
	clear(c.whole)
	clear(c.square)
	c.blocks, c.squares, c.blockSquares = [parts]float64{}, 0, 0
}

// byAsset is the variance of a mean of n rows as their assets' sums tell it, byTime as those of parts of time do; each is 0 where there are too few.
func byAsset(s *event.Sums, n, squares float64, assets int) float64 {
	return clustered(s.Sum, s.ClusterSquare, s.ClusterCross, n, squares, assets)
}

func byTime(s *event.Sums, n, squares float64, blocks int) float64 {
	return clustered(s.Sum, s.BlockSquare, s.BlockCross, n, squares, blocks)
}

func clustered(sum, square, cross, n, squares float64, groups int) float64 {
	if groups < 2 || n == 0 {
		return 0
	}
	m := sum / n
	v := square - 2*m*cross + m*m*squares // of the clusters' sums about what the mean leads to expect of them
	return math.Max(v, 0) / (n * n) * float64(groups) / float64(groups-1)
}

// variance is that of a mean of n rows by both.
func variance(s *event.Sums, n, squares, blockSquares float64, assets, blocks int) float64 {
	return byAsset(s, n, squares, assets) + byTime(s, n, blockSquares, blocks)
}
