// Command andon is the whole appliance: telemetry in through Kafka, features, scores, results in ClickHouse and on a live page, and models trained and kept
// honest on the way. README.md starts with how to run it; DESIGN.md follows one event through the files.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"

	"github.com/alecthomas/kong"

	"andon/sinks/clickhouse/engine"
)

// version is set by the linker.
var version = "unknown"

// commands are the verbs; the fields of each are its flags. Data goes to stdout, talk to stderr.
type commands struct {
	Up      upCommand      `cmd:"" help:"Run the appliance: broker, ClickHouse, pipelines, scorer, trainer and console."`
	Replay  replayCommand  `cmd:"" help:"Send recorded data to Kafka at a speed factor, as a real producer."`
	Camera  cameraCommand  `cmd:"" help:"Send a camera's frames to Kafka, through ffmpeg."`
	SQL     sqlCommand     `cmd:"" name:"sql" help:"Ask ClickHouse and print a table."`
	Model   modelCommand   `cmd:"" help:"The registry: push, pull, list, show, compare, promote and roll back models."`
	Train   trainCommand   `cmd:"" help:"Start a training run of a pipeline now."`
	Trainer trainerCommand `cmd:"" help:"Be a worker: take trainings from the topic of jobs, on any machine."`
	Loop    loopCommand    `cmd:"" help:"What brings models to the fleet: where it is, what it decided, and what people want of it."`
	Verify  verifyCommand  `cmd:"" help:"Prove that each input offset was handled exactly once."`
	Label   labelCommand   `cmd:"" help:"Tell what happened: failures, anomalies, classes of frames, and what the model has missed."`
	Drift   driftCommand   `cmd:"" help:"Tell what has changed for a pipeline's model, and what it is expected to cost."`
	DLQ     dlqCommand     `cmd:"" name:"dlq" help:"List and show dead letters, and send them again."`
	Alerts  alertsCommand  `cmd:"" help:"List alerts, acknowledge, snooze and resolve them, and test the receivers."`
	Uplink  uplinkCommand  `cmd:"" help:"Show what goes up to a central cluster."`
	Config  configCommand  `cmd:"" help:"Check or print the configuration."`
	Doctor  doctorCommand  `cmd:"" help:"Look for what would keep the appliance from running, and say what to do."`
	Version versionCommand `cmd:"" help:"Print the version."`
	Trial   trialCommand   `cmd:"" hidden:"" help:"Run a model for the first time; started by the appliance itself."`
	Engine  engineCommand  `cmd:"" hidden:"" passthrough:"" help:"Host ClickHouse's server code; started by the appliance itself."`
}

// talk is where commands write.
type talk struct {
	ctx      context.Context
	out, err io.Writer
}

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its surroundings as arguments; it returns the exit code.
func run(args []string, out, talkTo io.Writer) int {
	// The child must not touch signals or flags before the engine does.
	if len(args) > 0 && args[0] == "engine" {
		return engine.Child(args[1:])
	}
	var c commands
	exit := -1
	parser, err := kong.New(&c, kong.Name("andon"), kong.Description("The cord for models in production: an event-stream appliance that scores, watches and retrains."),
		kong.Writers(out, talkTo), kong.Vars{"user": userName()}, kong.Exit(func(code int) { exit = code }), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintln(talkTo, "andon:", err)
		return exitUsage
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if exit >= 0 {
		return exit
	}
	if err != nil {
		fmt.Fprintf(talkTo, "andon: %v\nrun 'andon --help' for the commands and their flags\n", err)
		return exitUsage
	}
	ctx, cancel := untilSignal(talkTo)
	defer cancel()
	err = parsed.Run(&talk{ctx, out, talkTo})
	if err != nil && !errors.Is(err, errSaid) {
		fmt.Fprintln(talkTo, "andon:", strings.TrimSpace(err.Error()))
	}
	return exitCode(err)
}

// userName is who sits at the terminal, for records of who did what.
func userName() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return "unknown"
}

// errSaid is a failure that has been told already.
var errSaid = errors.New("failed")

type versionCommand struct{}

func (versionCommand) Run(t *talk) error {
	_, err := fmt.Fprintln(t.out, "andon", version)
	return err
}

type engineCommand struct {
	Args []string `arg:"" optional:""`
}
