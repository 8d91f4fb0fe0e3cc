// Command drama plays the whole story of a model that goes stale, with a real appliance and real engines: a fleet that the champion knows, other conditions that creep in, the alarm, a challenger that is
// trained, judged, tried and promoted, and one that is sabotaged, refused, forced through by hand and taken back. Then the same with cameras, whose light goes out; ffmpeg takes their clip apart.
//
// It feeds rows and labels, as plants do, and pushes the sabotaged model, as a saboteur does. All else is the appliance's own doing; the play only watches, by its API, and says how long each act took. The
// last line sums up; the exit code is 0 only if every act went as written.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

// plays are the stories, in the order in which they are played.
var plays = []play{{"engines", playEngines}, {"frames", playFrames}}

func main() {
	p := plan{}
	flag.StringVar(&p.binary, "andon", "bin/andon", "the program")
	flag.StringVar(&p.dir, "dir", "", "where the appliance keeps its data; empty: a folder that is removed")
	flag.Float64Var(&p.pace, "pace", 8, "cycles of each engine a second")
	flag.IntVar(&p.slots, "engines", 24, "how many engines run at a time")
	flag.BoolVar(&p.short, "short", false, "smaller networks and fewer engines: what the test plays")
	flag.DurationVar(&p.limit, "limit", 15*time.Minute, "how long one play may take")
	flag.BoolVar(&p.keep, "keep", false, "go on until interrupted, to look at the page")
	only := flag.String("play", "", "only this play; empty: all")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	p.out = os.Stdout
	all := slices.DeleteFunc(slices.Clone(plays), func(y play) bool { return *only != "" && y.name != *only })
	if err := perform(ctx, p, all...); err != nil {
		fmt.Println("FAILED:", err)
		os.Exit(1)
	}
}
