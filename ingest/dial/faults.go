package dial

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// refusals are the answers to a connection that asking again does not change, with what to do about each.
var refusals = []struct {
	err  error
	todo string
}{
	{kerr.SaslAuthenticationFailed, "check kafka.sasl: user and password"},
	{kerr.UnsupportedSaslMechanism, "check kafka.sasl.mechanism"},
	{kerr.IllegalSaslState, "check kafka.sasl: the broker asks for a login"},
}

// Advise adds what to do to an error that means that the brokers refuse us for good, or we them. Other errors it returns as they are, and false.
func Advise(err error) (advised error, permanent bool) {
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return fmt.Errorf("%w: %s", err, r.todo), true
		}
	}
	if theirs, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fmt.Errorf("the broker's certificate does not hold: %w: check kafka.tls: ca and server_name", theirs), true
	}
	// The other side's alert has no type that is exported.
	if remote, ok := errors.AsType[*net.OpError](err); ok && remote.Op == "remote error" {
		return fmt.Errorf("the broker refuses our side of TLS: %w: check kafka.tls: cert and key", remote), true
	}
	if Hangup(err) {
		return fmt.Errorf("%w: check kafka.tls and kafka.sasl: is this the listener they are for?", err), true
	}
	// The client has no type for an answer that is none, such as a TLS alert to a client that speaks plain text.
	if strings.Contains(err.Error(), "invalid large response size") {
		return fmt.Errorf("%w: check kafka.tls and kafka.sasl: is this the listener they are for?", err), true
	}
	return err, false
}

// Hangup tells whether the other side ended the connection before it said a word. A listener that wants TLS or a login does that, and so does a broker that goes
// down, or a proxy whose broker is away: only before the first answer from there is it a refusal.
func Hangup(err error) bool {
	_, ok := errors.AsType[*kgo.ErrFirstReadEOF](err)
	return ok
}
