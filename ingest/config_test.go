package ingest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	yaml "go.yaml.in/yaml/v3"
)

func TestValidate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatalf("the defaults: %v", err)
	}
	bad := func(change func(*Config), parts ...string) {
		t.Helper()
		c := Default()
		change(&c)
		err := c.Validate()
		for _, p := range parts {
			if err == nil || !strings.Contains(err.Error(), p) {
				t.Errorf("got %v, want %q", err, p)
			}
		}
	}
	bad(func(c *Config) { c.Brokers = []string{"here"} }, `brokers: "here" is not host:port`)
	bad(func(c *Config) { c.Fetch, c.MaxInFlight, c.FetchWait, c.BatchRecords = 1, 1, 0, 0 }, "fetch, fetch_partition", "max_in_flight", "fetch_wait", "batch_records")
	bad(func(c *Config) { c.Balancer, c.SessionTimeout, c.RebalanceTimeout = "mine", time.Second, time.Second }, `balancer: "mine"`, "session_timeout", "rebalance_timeout")
	bad(func(c *Config) { c.ClientID, c.ConnectTimeout, c.DrainTimeout, c.LagInterval = "", 0, 0, 0 }, "client_id", "connect_timeout", "drain_timeout", "lag_interval")
	bad(func(c *Config) { c.TLS.CA = "x" }, "tls: has settings but enabled is false")
	bad(func(c *Config) { c.TLS = TLS{Enabled: true, Cert: "x"} }, "cert and key go together")
	bad(func(c *Config) { c.SASL.User = "x" }, "no mechanism")
	bad(func(c *Config) { c.SASL.Mechanism = "gssapi" }, `sasl.mechanism: "gssapi"`)
	bad(func(c *Config) { c.SASL = SASL{Mechanism: "plain", Password: "x", PasswordFile: "y"} }, "sasl.user", "one of password and password_file")
}

func TestSecretStaysSecret(t *testing.T) {
	c := Default()
	c.SASL = SASL{Mechanism: "plain", User: "u", Password: "hunter2"}
	out, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{string(out), fmt.Sprint(c), fmt.Sprintf("%+v %#v", c, c)} {
		if strings.Contains(s, "hunter2") {
			t.Errorf("the password is in %s", s)
		}
	}
	c.SASL.Password = "${KAFKA_PASSWORD}"
	if out, _ := yaml.Marshal(c); !strings.Contains(string(out), "${KAFKA_PASSWORD}") {
		t.Errorf("the variable's name is not in %s", out)
	}
	back := Default()
	if err := yaml.Unmarshal(out, &back); err != nil || back.MaxInFlight != c.MaxInFlight || back.SessionTimeout != c.SessionTimeout {
		t.Errorf("read back: %+v, %v", back, err)
	}
}

// TLS with client certificates and each login, against a broker that asks for them.
func TestSecureConnection(t *testing.T) {
	ca := newAuthority(t)
	server, client := ca.issue(t, "127.0.0.1"), ca.issue(t, "andon")
	pair, err := tls.LoadX509KeyPair(server.cert, server.key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	c := broker(t, 1, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}),
		kfake.EnableSASL(), kfake.Superuser("PLAIN", "p", "pw"), kfake.Superuser("SCRAM-SHA-256", "s2", "pw"), kfake.Superuser("SCRAM-SHA-512", "s5", "pw"))
	secure := testConfig(c)
	secure.ConnectTimeout = 20 * time.Second
	secure.TLS = TLS{Enabled: true, CA: ca.file, Cert: client.cert, Key: client.key}
	for user, mechanism := range map[string]string{"p": "plain", "s2": "scram-sha-256", "s5": "scram-sha-512"} {
		cfg := secure
		cfg.SASL = SASL{Mechanism: mechanism, User: user, Password: "pw"}
		if err := EnsureTopics(t.Context(), cfg, []Topic{{Name: "by-" + user}}, discard); err != nil {
			t.Errorf("%s: %v", mechanism, err)
		}
	}
	cfg := secure
	cfg.SASL = SASL{Mechanism: "scram-sha-512", User: "s5", Password: "pw"}
	m := start(t, cfg, testSource(), newLedger(t).open("secure", nil))
	m.memberID(1)
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}

	fails := func(change func(*Config), parts ...string) {
		t.Helper()
		cfg := secure
		cfg.SASL = SASL{Mechanism: "plain", User: "p", Password: "pw"}
		change(&cfg)
		err := EnsureTopics(t.Context(), cfg, nil, discard)
		for _, p := range parts {
			if err == nil || !strings.Contains(err.Error(), p) {
				t.Errorf("got %v, want %q", err, p)
			}
		}
		if err != nil && strings.Contains(err.Error(), "wrong-secret") {
			t.Errorf("the password is in %v", err)
		}
	}
	c.inProcess().ControlKey(int16(kmsg.SASLAuthenticate), func(req kmsg.Request) (kmsg.Response, error, bool) { // as Apache Kafka answers a wrong password
		resp := req.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		return resp, nil, true
	})
	fails(func(c *Config) { c.SASL.Password = "wrong-secret" }, "check kafka.sasl: user and password")
	fails(func(c *Config) { c.SASL = SASL{} }, "SASL")
	fails(func(c *Config) { c.TLS = TLS{} }, "TLS")
	fails(func(c *Config) { c.TLS.ServerName = "elsewhere" }, "elsewhere", "check kafka.tls")
	fails(func(c *Config) { c.TLS.CA = "" }, "certificate", "check kafka.tls")
	fails(func(c *Config) { c.TLS.CA = client.key }, "holds no PEM certificate")
	fails(func(c *Config) { c.TLS.Key = client.cert }, "tls.cert, tls.key")
}

type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

type certificate struct{ cert, key string }

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key, a.file, _ = a.make(t, &x509.Certificate{Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) issue(t *testing.T, name string) certificate {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	if ip := net.ParseIP(name); ip != nil {
		template.IPAddresses = []net.IP{ip}
	}
	_, _, cert, key := a.make(t, template)
	return certificate{cert, key}
}

// make signs a certificate, by itself when there is no authority yet, and writes it and its key to files.
func (a *authority) make(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey, string, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key, certFile, keyFile
}
