package gate

import (
	"fmt"
	"strings"
)

// Golden is the rule of the golden set: cases that people have chosen, on which every model is examined. They are too few for statistics, and each counts.
type Golden struct {
	// Lost is how many cases that the champion has right a challenger may get wrong; below 0 any number may be lost, and it is only told.
	Lost int `yaml:"lost"`
	// Right is the mean loss of a case below which a model has it right: at 0.25 a risk is on the right side of one half.
	Right float64 `yaml:"right"`
}

// Case is one golden case: a frame, or a stretch of an asset's time.
type Case struct {
	Name string
	// Champion and Challenger are mean losses.
	Champion, Challenger float64
}

// lost names the cases that the champion has right and the challenger gets wrong, by more than the margin.
func (g *Golden) lost(all []Case, margin float64) (names []string) {
	for _, c := range all {
		if c.Champion < g.Right && c.Challenger >= g.Right && c.Challenger-c.Champion > margin {
			names = append(names, c.Name)
		}
	}
	return names
}

// shown is how many names of a list are told in words.
const shown = 5

func list(names []string) string {
	if n := len(names) - shown; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), n)
	}
	return strings.Join(names, ", ")
}
