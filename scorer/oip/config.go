package oip

import (
	"errors"
	"fmt"
	"time"

	"andon/event"
)

// Config is the section that an operator writes.
type Config struct {
	// MaxRequest is the largest request, unpacked.
	MaxRequest event.Bytes `yaml:"max_request"`
	// Calls is the number of calls in progress, REST and gRPC together; further ones are refused. As many gRPC streams may be open, each with one request. Calls
	// times MaxRequest, twice, is the most that callers can make the server hold.
	Calls int `yaml:"calls"`
	// Timeout is how long a call may wait for its scores.
	Timeout time.Duration `yaml:"timeout"`
	// Loaded is the number of versions that callers may load beside those that an alias names.
	Loaded int `yaml:"loaded"`
}

// Default returns the configuration that suits the appliance on one machine.
func Default() Config {
	return Config{
		// What gRPC's own clients and servers agree on unless told otherwise; 1,200 windows of 30 x 29 as binary, 250 as JSON.
		MaxRequest: 4 << 20,
		// More than keep the largest runs full on any number of cores that one machine has; with MaxRequest it makes 1 GiB, and as much for streams, at the very most.
		Calls: 256,
		// Far longer than any queue that the scorer lets grow; a caller who waits for more is better told.
		Timeout: 10 * time.Second,
		// A few to compare with; each costs the memory of its session, some megabytes.
		Loaded: 4,
	}
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	fault := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	fault(c.MaxRequest < 64<<10 || c.MaxRequest > 1<<30, "max_request: %d bytes are not between 64KiB and 1GiB", int64(c.MaxRequest))
	fault(c.Calls < 1, "calls: %d is not a positive number of calls", c.Calls)
	fault(c.Timeout <= 0, "timeout: %v is not positive", c.Timeout)
	fault(c.Loaded < 0, "loaded: %d is negative; 0 lets callers load none", c.Loaded)
	return errors.Join(errs...)
}
