package evaluate

import (
	"cmp"
	"math"
	"slices"
	"time"

	"andon/trainer/gate"
)

// Case is one golden case, a frame or a stretch of an asset's time that people have chosen, and what each version loses in it.
type Case struct {
	Name    string `json:"name"`
	Windows int    `json:"windows"`
	// Losses are means, in the order of the table's versions.
	Losses []Number `json:"losses"`
}

// addCases gathers the golden cases of the pass over the data as it is. loss is what the n-th version loses in the i-th sample.
func (t *Table) addCases(samples []sample, versions int, loss func(n, i int) float64) {
	type place struct {
		asset string
		from  int64
	}
	at := map[place]int{}
	for i := range samples {
		x := &samples[i]
		if !x.golden {
			continue
		}
		key := place{x.asset, x.goldenFrom}
		k, ok := at[key]
		if !ok {
			k = len(t.Golden)
			at[key] = k
			t.Golden = append(t.Golden, Case{Name: x.asset + " at " + time.Unix(0, x.goldenFrom).UTC().Format(time.DateTime), Losses: make([]Number, versions)})
		}
		c := &t.Golden[k]
		c.Windows++
		for n := range versions {
			c.Losses[n] += (Number(loss(n, i)) - c.Losses[n]) / Number(c.Windows)
		}
	}
	slices.SortStableFunc(t.Golden, func(a, b Case) int { return cmp.Compare(a.Name, b.Name) })
}

// Cases returns the golden cases as the gate asks about them. A table that came out of a store has none.
func (t *Table) Cases(champion, challenger string) (out []gate.Case) {
	column := func(version string) int {
		return slices.IndexFunc(t.Versions, func(c Cost) bool { return c.Version == version })
	}
	a, b := column(champion), column(challenger)
	if a < 0 || b < 0 {
		return nil
	}
	for _, c := range t.Golden {
		out = append(out, gate.Case{Name: c.Name, Champion: float64(c.Losses[a]), Challenger: float64(c.Losses[b])})
	}
	return out
}

// pairs counts, for classes, the windows of each block that only one of two versions has right. into has a block for each that has windows.
func pairs(champion, challenger *Cell, into []gate.Block) {
	k := -1
	place := make([]int, len(champion.blocks)) // the blocks that have windows, among all
	for i := range champion.blocks {
		if champion.blocks[i].n > 0 {
			k++
		}
		place[i] = k
	}
	for i, block := range champion.in {
		a, b := champion.losses[i] < .5, challenger.losses[i] < .5
		switch {
		case a && !b:
			into[place[block]].OnlyChampion++
		case b && !a:
			into[place[block]].OnlyChallenger++
		}
	}
}

// sparse says which golden samples are looked at where not all samples are: of at most so many all, of more every n-th.
func sparse(golden, most int) int64 {
	return int64(math.Ceil(math.Max(float64(golden)/float64(most), 1)))
}
