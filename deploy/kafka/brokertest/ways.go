package brokertest

import (
	"strings"
	"testing"

	"andon/ingest/dial"
)

// Way is one way to reach the broker.
type Way struct {
	Name     string
	Addr     string
	Security dial.Security
	// Want is what the error must say; empty where the way is good.
	Want string
	// Hangup says that the broker only ends the connection, as one that goes down does.
	Hangup bool
}

// Ways returns the good ways in that need TLS or a login, and those that must fail with what to do.
func (b *Broker) Ways() []Way {
	trusting := dial.TLS{Enabled: true, CA: b.CA}
	known := dial.TLS{Enabled: true, CA: b.CA, Cert: b.ClientCert, Key: b.ClientKey}
	login := func(mechanism string, password dial.Secret) dial.SASL {
		return dial.SASL{Mechanism: mechanism, User: User, Password: password}
	}
	good, wrong := dial.Secret(Password), dial.Secret(Password+"-wrong")
	const checkUser, checkCA, checkCert, checkBoth = "check kafka.sasl: user and password", "check kafka.tls: ca and server_name", "check kafka.tls: cert and key", "check kafka.tls and kafka.sasl"
	return []Way{
		{"plain", b.Login, dial.Security{TLS: trusting, SASL: login("plain", good)}, "", false},
		{"scram-sha-512", b.Login, dial.Security{TLS: trusting, SASL: login("scram-sha-512", good)}, "", false},
		{"certificate", b.Certificate, dial.Security{TLS: known}, "", false},
		{"plain, wrong password", b.Login, dial.Security{TLS: trusting, SASL: login("plain", wrong)}, checkUser, false},
		{"scram-sha-512, wrong password", b.Login, dial.Security{TLS: trusting, SASL: login("scram-sha-512", wrong)}, checkUser, false},
		{"a mechanism that is not there", b.Login, dial.Security{TLS: trusting, SASL: login("scram-sha-256", good)}, "check kafka.sasl.mechanism", false},
		{"no login", b.Login, dial.Security{TLS: trusting}, checkBoth, true},
		{"login, another authority", b.Login, dial.Security{TLS: dial.TLS{Enabled: true, CA: b.OtherCA}, SASL: login("plain", good)}, checkCA, false},
		{"another authority", b.Certificate, dial.Security{TLS: dial.TLS{Enabled: true, CA: b.OtherCA, Cert: b.ClientCert, Key: b.ClientKey}}, checkCA, false},
		{"no certificate of the client", b.Certificate, dial.Security{TLS: trusting}, checkCert, false},
		{"no TLS", b.Certificate, dial.Security{}, checkBoth, false},
		{"TLS to plain text", b.Addr, dial.Security{TLS: trusting}, "check kafka.tls", true},
	}
}

// Check holds an error, and what was logged, against the way.
func (w Way) Check(t testing.TB, err error, log string) {
	t.Helper()
	switch {
	case w.Want == "" && err != nil:
		t.Errorf("%s: %v", w.Name, err)
	case w.Want != "" && (err == nil || !strings.Contains(err.Error(), w.Want)):
		t.Errorf("%s: %v, want %q", w.Name, err, w.Want)
	case err != nil && strings.Contains(strings.TrimSpace(err.Error()), "\n"):
		t.Errorf("%s: more than one line: %v", w.Name, err)
	case err != nil && strings.Count(err.Error(), "check kafka.") != 1:
		t.Errorf("%s: the advice is not given once: %v", w.Name, err)
	case err != nil:
		t.Logf("%s: %v", w.Name, err)
	}
	if strings.Contains(log, Password) || err != nil && strings.Contains(err.Error(), Password) {
		t.Errorf("%s: the password is in the log or in the error:\n%v\n%s", w.Name, err, log)
	}
}
