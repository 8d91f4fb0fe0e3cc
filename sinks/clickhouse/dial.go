package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"andon/sinks/clickhouse/engine"
)

// logins returns the connections' options for the owner and the reader.
func logins(cfg Config, at func() engine.Endpoint) (owner, reader *ch.Options, err error) {
	if cfg.DSN != "" {
		if owner, err = options(cfg.DSN); err != nil {
			return nil, nil, err
		}
		if reader, err = options(cfg.DSN); cfg.ReaderDSN != "" {
			reader, err = options(cfg.ReaderDSN)
		}
		if err != nil {
			return nil, nil, err
		}
		if owner.Compression == nil { // over a network it pays; on loopback it costs a third of an insert
			owner.Compression = &ch.Compression{Method: ch.CompressionLZ4}
		}
	} else {
		login := func(l engine.Login) *ch.Options {
			return &ch.Options{
				Addr: []string{"embedded"},
				Auth: ch.Auth{Database: engine.Database, Username: l.User, Password: l.Password},
				DialContext: func(ctx context.Context, _ string) (net.Conn, error) {
					var d net.Dialer
					return d.DialContext(ctx, "tcp", at().Native) // the port may be another one after a restart
				},
				DialTimeout: 5 * time.Second,
			}
		}
		owner, reader = login(at().Owner), login(at().Reader)
	}
	// The server counts an answer's bytes before it writes out columns that are constant, so they are counted here again, as they come.
	reader.Compression = nil
	dial := dialer(reader)
	reader.DialContext = func(ctx context.Context, address string) (net.Conn, error) {
		conn, err := dial(ctx, address)
		if err != nil {
			return nil, err
		}
		return &rationed{Conn: conn, ration: int64(cfg.QueryMemory)}, nil
	}
	return owner, reader, nil
}

// dialer returns how the driver itself would connect.
func dialer(o *ch.Options) func(ctx context.Context, address string) (net.Conn, error) {
	if o.DialContext != nil {
		return o.DialContext
	}
	d := &net.Dialer{Timeout: o.DialTimeout}
	return func(ctx context.Context, address string) (net.Conn, error) {
		if o.TLS != nil {
			return (&tls.Dialer{NetDialer: d, Config: o.TLS}).DialContext(ctx, "tcp", address)
		}
		return d.DialContext(ctx, "tcp", address)
	}
}

var errTooLarge = errors.New("the answer is too large")

// rationed is a connection that reads at most so many bytes in answer to what was written last.
type rationed struct {
	net.Conn
	ration int64
	read   atomic.Int64
}

func (c *rationed) Write(p []byte) (int, error) {
	c.read.Store(0)
	return c.Conn.Write(p)
}

func (c *rationed) Read(p []byte) (int, error) {
	if c.read.Load() > c.ration {
		return 0, fmt.Errorf("%w: more than %d bytes", errTooLarge, c.ration)
	}
	n, err := c.Conn.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// SyscallConn lets the driver see whether an idle connection was closed.
func (c *rationed) SyscallConn() (syscall.RawConn, error) {
	conn := c.Conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if s, ok := conn.(syscall.Conn); ok {
		return s.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}
