package engine

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
)

// Exit codes of the child.
const (
	exitUsage   = 2
	exitLibrary = 3 // the library is not there, or not the one we know
	exitServer  = 4 // the server ended with an error
	exitStuck   = 5 // it did not end when told to
	exitOrphan  = 6 // its parent was killed
)

// Child is the body of the hidden subcommand that hosts the server; it returns the exit code. It lives until its standard input holds a byte
// (the parent wants it gone) or ends (the parent died), a SIGTERM or SIGINT comes, or the server ends.
//
// The server is clickhouse-local with its ports opened. A clickhouse-local that is not interactive dies of one client's RST, so it gets a terminal of
// ours as standard input, waits at its prompt, and ends on "exit".
func Child(args []string) int {
	flags := flag.NewFlagSet("engine", flag.ContinueOnError)
	lib := flags.String("library", "", "path of "+libraryName)
	run := flags.String("run", "", "folder of the files that the parent wrote")
	store := flags.String("store", "", "folder of the tables")
	fenced := flags.Bool("fenced", false, "the process is behind its fence")
	grace := flags.Duration("grace", 15*time.Second, "time to end after being told to")
	if err := flags.Parse(args); err != nil {
		return exitUsage
	}
	if !*fenced {
		if err := behindFence(*lib, *run, *store); !errors.Is(err, errNoFence) {
			return fail(exitServer, err)
		}
		fail(0, errNoFence)
	}
	// The server's memory is the library's own; Go's heap holds next to nothing.
	debug.SetGCPercent(50)

	life, err := syscall.Dup(0)
	if err != nil {
		return fail(exitServer, err)
	}
	master, slave, err := openPty()
	if err != nil {
		return fail(exitServer, err)
	}
	if err := syscall.Dup3(int(slave.Fd()), 0, 0); err != nil {
		return fail(exitServer, err)
	}
	_ = slave.Close()
	_ = os.Setenv("TERM", "dumb")

	// These goroutines end with the process.
	var once sync.Once
	end := func() {
		once.Do(func() {
			// Again and again: what is written before the prompt is up is thrown away when the line editor sets up its terminal.
			for begin := time.Now(); time.Since(begin) < *grace; time.Sleep(100 * time.Millisecond) {
				_, _ = master.WriteString("exit\n")
			}
			os.Exit(fail(exitStuck, fmt.Errorf("the server did not end within %v", *grace)))
		})
	}
	go func() { _, _ = io.Copy(io.Discard, master) }() // its prompts
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() { <-signals; end() }()
	go func() {
		if n, _ := os.NewFile(uintptr(life), "life line").Read(make([]byte, 1)); n == 0 {
			// The parent was killed, and the next one waits for the folder. What was acknowledged survives a kill; a start that is under way would take seconds to end.
			os.Exit(exitOrphan)
		}
		end()
	}()

	l, err := load(*lib)
	if err != nil {
		return fail(exitLibrary, err)
	}
	err = l.run([]string{
		"--interactive", "--history_file=/dev/null", "--disable_suggestion", "--highlight=0",
		"--path=" + *store,
		"--config-file=" + filepath.Join(*run, configFile), // or it would take ./config.xml
		"--queries-file=" + filepath.Join(*run, startFile),
		"--log-level=warning", // the configuration's own level is ignored
	})
	if err != nil {
		return fail(exitServer, err)
	}
	return 0
}

func fail(code int, err error) int {
	fmt.Fprintf(os.Stderr, "engine: %v\n", err)
	return code
}
