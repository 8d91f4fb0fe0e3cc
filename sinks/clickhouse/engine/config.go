package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"andon/event"
)

// Config is the embedded server's section of the configuration file.
type Config struct {
	// Library is the path of libchdb.so. Empty: lib/libchdb.so beside the program's folder, in it, or in the working folder.
	Library string `yaml:"library"`
	// Memory bounds what the server allocates; queries and merges beyond it get an error, the server stays up.
	Memory event.Bytes `yaml:"memory"`
	// Threads bounds the threads of one query.
	Threads int `yaml:"threads"`
	// NativePort and HTTPPort on 127.0.0.1; 0 takes a free one, which a restart of the child keeps if it can.
	NativePort int `yaml:"native_port"`
	HTTPPort   int `yaml:"http_port"`
	// StartTimeout is how long the child may take until it listens, StopTimeout until it is killed.
	StartTimeout time.Duration `yaml:"start_timeout"`
	StopTimeout  time.Duration `yaml:"stop_timeout"`
	// HealthEvery is the pause between two pings, and how long one may take; ten in a row without an answer restart the child.
	HealthEvery time.Duration `yaml:"health_every"`
}

// Default returns the configuration of a small machine.
func Default() Config {
	return Config{
		Memory:       2 << 30,          // half of the smallest machine (4 GiB); a demo needs 0.3 GiB, merges of 100 million rows 0.6 GiB
		Threads:      2,                // the line wants the other cores
		StartTimeout: 60 * time.Second, // 0.3 s on a warm cache, 5 s on a cold disk, more where parts of a crash are checked
		StopTimeout:  15 * time.Second, // 0.5 s under full insert load
		HealthEvery:  5 * time.Second,
	}
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	bad := func(ok bool, key, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(key+": "+format, args...))
		}
	}
	bad(c.Memory >= 512<<20, "memory", "%v is too little: the server itself needs about 300MiB; give it 512MiB or more", c.Memory)
	bad(c.Threads >= 1, "threads", "%d is not a positive number", c.Threads)
	bad(c.NativePort >= 0 && c.NativePort < 65536, "native_port", "%d is not a port", c.NativePort)
	bad(c.HTTPPort >= 0 && c.HTTPPort < 65536, "http_port", "%d is not a port", c.HTTPPort)
	bad(c.NativePort == 0 || c.NativePort != c.HTTPPort, "http_port", "%d is the native port too", c.HTTPPort)
	bad(c.StartTimeout > 0, "start_timeout", "%v is not a positive duration", c.StartTimeout)
	bad(c.StopTimeout > 0, "stop_timeout", "%v is not a positive duration", c.StopTimeout)
	bad(c.HealthEvery > 0, "health_every", "%v is not a positive duration", c.HealthEvery)
	return errors.Join(errs...)
}

// library returns the path to load.
func (c *Config) library() (string, error) {
	places := []string{c.Library}
	if c.Library == "" {
		places = []string{filepath.Join("lib", libraryName)}
		if exe, err := os.Executable(); err == nil {
			dir := filepath.Dir(exe)
			places = append([]string{filepath.Join(dir, "..", "lib", libraryName), filepath.Join(dir, "lib", libraryName)}, places...)
		}
	}
	for _, p := range places {
		info, err := os.Stat(p)
		if err == nil && info.Mode().IsRegular() {
			return filepath.Abs(p)
		}
	}
	return "", fmt.Errorf("ClickHouse's library is not at %q: run make deps, or set clickhouse.engine.library", places)
}
