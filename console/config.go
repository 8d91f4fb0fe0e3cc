package console

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Config is the console's section of the configuration file.
type Config struct {
	// Listen is the address of the page, the API, the live feed and the metrics; port 0 takes a free one.
	Listen string `yaml:"listen"`
	// Origins lists pages of other addresses that may open the live feed and post queries, as https://ops.example.org.
	Origins []string `yaml:"origins"`
	// Hosts lists the names that a browser may call this server by, beside its own address. Empty on an address that is not the loopback: any name.
	Hosts []string `yaml:"hosts"`

	MaxClients   int           `yaml:"max_clients"`
	MaxAssets    int           `yaml:"max_assets"`
	WatchRows    int           `yaml:"watch_rows"`
	SampleEvery  time.Duration `yaml:"sample_every"`
	History      time.Duration `yaml:"history"`
	SeriesPoints int           `yaml:"series_points"`

	QueryRows    int           `yaml:"query_rows"`
	QueryTimeout time.Duration `yaml:"query_timeout"`
	Queries      int           `yaml:"queries"`

	// RiskWatch and RiskCritical are the risks from which the page draws an asset in amber and in red.
	RiskWatch    float64 `yaml:"risk_watch"`
	RiskCritical float64 `yaml:"risk_critical"`
}

// Default returns the configuration of an appliance on one machine.
func Default() Config {
	return Config{
		Listen: "127.0.0.1:8080",
		// 1,000 clients at 10 Hz cost a quarter of a core; beyond twice that the newcomers are told so rather than all slowed down.
		MaxClients: 2000,
		// About 400 bytes an asset and pipeline; the page scrolls through as many without strain.
		MaxAssets: 20_000,
		// What a person can see is far less; copying this many rows a second costs the line under 1 % of a core.
		WatchRows: 20_000,
		// Fast enough to feel live, slow enough that gathering the metrics stays unnoticed.
		SampleEvery: time.Second,
		// What the small charts of the line span.
		History: 10 * time.Minute,
		// More points than a chart has pixels show nothing more.
		SeriesPoints: 3000,
		// A table longer than this is not read by eye; the page says that it was cut.
		QueryRows:    10_000,
		QueryTimeout: 30 * time.Second,
		// Leaves the store's cores to the line.
		Queries:      4,
		RiskWatch:    0.5,
		RiskCritical: 0.8,
	}
}

// Validate reports every fault with its key.
func (c *Config) Validate() error {
	var errs []error
	fault := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("console.%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		fault("listen", "%q is not host:port, as 127.0.0.1:8080", c.Listen)
	}
	for _, o := range c.Origins {
		if u, err := url.Parse(o); err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" {
			fault("origins", "%q is not an origin, as https://ops.example.org", o)
		}
	}
	positive := func(key string, n int) {
		if n < 1 {
			fault(key, "%d is not positive", n)
		}
	}
	positive("max_clients", c.MaxClients)
	positive("max_assets", c.MaxAssets)
	positive("watch_rows", c.WatchRows)
	positive("series_points", c.SeriesPoints)
	positive("query_rows", c.QueryRows)
	positive("queries", c.Queries)
	if c.SampleEvery < 100*time.Millisecond {
		fault("sample_every", "%v is shorter than 100ms", c.SampleEvery)
	}
	if c.SampleEvery > 0 && (c.History < c.SampleEvery || c.History/c.SampleEvery > 10_000) {
		fault("history", "%v is not between one and 10,000 times sample_every", c.History)
	}
	if c.QueryTimeout <= 0 {
		fault("query_timeout", "%v is not positive", c.QueryTimeout)
	}
	if !(c.RiskWatch > 0 && c.RiskWatch < c.RiskCritical && c.RiskCritical < 1) {
		fault("risk_watch", "%v and risk_critical %v are not in order between 0 and 1", c.RiskWatch, c.RiskCritical)
	}
	return errors.Join(errs...)
}
