package alerts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"andon/event"

	"github.com/wneessen/go-mail"
)

// SMTP sends mail.
type SMTP struct {
	// Server is host:port.
	Server string   `yaml:"server"`
	From   string   `yaml:"from"`
	To     []string `yaml:"to"`
	// TLS is starttls (what an empty one is), tls from the first byte, or none. Without it no password is sent.
	TLS string `yaml:"tls"`
	// CA is a file of PEM certificates to trust instead of the system's.
	CA       string `yaml:"ca"`
	User     string `yaml:"user"`
	Password Secret `yaml:"password"`
}

func (s *SMTP) validate() error {
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, port, err := net.SplitHostPort(s.Server); err != nil {
		fault("server: %q is not host:port, as mail.example.org:587", s.Server)
	} else if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		fault("server: %q is not a port", port)
	}
	msg := mail.NewMsg()
	if err := msg.From(s.From); err != nil {
		fault("from: %q is not an address", s.From)
	}
	if len(s.To) == 0 {
		fault("to: name somebody")
	} else if err := msg.To(s.To...); err != nil {
		fault("to: %v", err)
	}
	switch s.TLS {
	case "", "starttls", "tls":
	case "none":
		if s.User != "" {
			fault("tls: a password is sent over TLS only: write starttls or tls, or take user out")
		}
	default:
		fault("tls: %q is none of starttls, tls and none", s.TLS)
	}
	if (s.User == "") != (s.Password == "") {
		fault("user: user and password go together")
	}
	return errors.Join(errs...)
}

type smtp struct{ cfg *SMTP }

func newSMTP(cfg *SMTP) *smtp { return &smtp{cfg} }

func (s *smtp) refresh() time.Duration { return 0 }
func (s *smtp) close()                 {}

func (s *smtp) send(ctx context.Context, n *Notice) error {
	host, p, _ := net.SplitHostPort(s.cfg.Server)
	port, _ := strconv.Atoi(p)
	msg, err := s.message(n)
	if err != nil {
		return &refusal{err}
	}
	secure, err := trust(s.cfg.CA)
	if err != nil {
		return err
	}
	secure.ServerName = host
	opts := []mail.Option{mail.WithPort(port), mail.WithTLSConfig(secure), mail.WithTLSPolicy(mail.TLSMandatory)}
	if deadline, ok := ctx.Deadline(); ok {
		opts = append(opts, mail.WithTimeout(max(time.Until(deadline), time.Millisecond)))
	}
	switch s.cfg.TLS {
	case "tls":
		opts = append(opts, mail.WithSSL())
	case "none":
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	}
	if s.cfg.User != "" {
		password, err := s.cfg.Password.value("password")
		if err != nil {
			return err
		}
		opts = append(opts, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(s.cfg.User), mail.WithPassword(password))
	}
	c, err := mail.NewClient(host, opts...)
	if err != nil {
		return &refusal{err}
	}
	err = c.DialAndSendWithContext(ctx, msg)
	var refused *mail.SendError
	if errors.As(err, &refused) && !refused.IsTemp() && refused.ErrorCode() >= 500 {
		return &refusal{err}
	}
	return err
}

func (s *smtp) message(n *Notice) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := errors.Join(msg.From(s.cfg.From), msg.To(s.cfg.To...)); err != nil {
		return nil, err
	}
	msg.SetMessageIDWithValue(n.ID + "@andon") // the same over all tries: mail that comes twice is one
	msg.SetDate()
	// One group is one thread.
	thread := "<" + fingerprint(n.Key) + "@andon>"
	msg.SetGenHeader(mail.HeaderInReplyTo, thread)
	msg.SetGenHeader(mail.HeaderReferences, thread)
	msg.Subject("[andon] " + oneLine(headline(n)))
	var b strings.Builder
	for _, m := range n.Matters {
		state := strings.ToUpper(m.Severity)
		if m.State == event.MatterResolved {
			state = "RESOLVED"
		}
		fmt.Fprintf(&b, "%s: %s\n%s\n", state, m.Title, facts(m))
		if m.Detail != "" {
			b.WriteString("\n" + m.Detail + "\n")
		}
		if m.Evidence != "" {
			b.WriteString("Evidence: " + evidenceOf(m, n.Links) + "\n")
		}
		b.WriteString("Acknowledge: " + linkOf(m, n.Links) + "\n\n")
	}
	if n.Left > 0 {
		fmt.Fprintf(&b, "%d more: %s/#/alerts\n", n.Left, n.Links)
	}
	msg.SetBodyString(mail.TypeTextPlain, b.String())
	return msg, nil
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
