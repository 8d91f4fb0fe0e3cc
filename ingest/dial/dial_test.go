package dial

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// authority signs certificates and writes them as PEM files.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.key = a.sign("ca", a.cert)
	return a
}

func (a *authority) sign(name string, c *x509.Certificate) *ecdsa.PrivateKey {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	by := a.key
	if by == nil {
		by = key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, a.cert, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	a.write(name+".crt", "CERTIFICATE", der)
	a.write(name+".key", "PRIVATE KEY", secret)
	return key
}

func (a *authority) leaf(name string) {
	a.sign(name, &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}})
}

func (a *authority) write(name, kind string, der []byte) {
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		a.t.Fatal(err)
	}
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// ping reaches the brokers by our options, or says why not.
func ping(t *testing.T, address string, s Security) error {
	t.Helper()
	opts, err := Options([]string{address}, "test", s, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	c, err := kgo.NewClient(append(opts, kgo.RequestRetries(0))...)
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err = c.Ping(ctx)
	if err != nil {
		err, _ = Advise(err)
	}
	return err
}

func TestTLSAndSASL(t *testing.T) {
	a := newAuthority(t)
	a.leaf("server")
	a.leaf("client")
	roots := x509.NewCertPool()
	raw, err := os.ReadFile(a.file("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots.AppendCertsFromPEM(raw)
	pair, err := tls.LoadX509KeyPair(a.file("server.crt"), a.file("server.key"))
	if err != nil {
		t.Fatal(err)
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("PLAIN", "p", "secret-p"),
		kfake.Superuser("SCRAM-SHA-256", "s2", "secret-2"), kfake.Superuser("SCRAM-SHA-512", "s5", "secret-5"),
		kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert}))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	address := cluster.ListenAddrs()[0]
	good := Security{TLS: TLS{Enabled: true, CA: a.file("ca.crt"), Cert: a.file("client.crt"), Key: a.file("client.key")},
		SASL: SASL{Mechanism: "scram-sha-512", User: "s5", Password: "secret-5"}}
	t.Setenv("ANDON_TEST_PASSWORD", "secret-2")
	passwords := a.file("password")
	if err := os.WriteFile(passwords, []byte("secret-p\r\nnot this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(name string, change func(*Security), fault string) {
		t.Helper()
		s := good
		change(&s)
		err := ping(t, address, s)
		if fault == "" && err != nil || fault != "" && (err == nil || !strings.Contains(err.Error(), fault)) {
			t.Errorf("%s: %v, want %q", name, err, fault)
		}
	}
	check("scram 512", func(*Security) {}, "")
	check("scram 256 with a password of the environment", func(s *Security) {
		s.SASL = SASL{Mechanism: "scram-sha-256", User: "s2", Password: "${ANDON_TEST_PASSWORD}"}
	}, "")
	check("plain with a password file", func(s *Security) { s.SASL = SASL{Mechanism: "plain", User: "p", PasswordFile: passwords} }, "")
	check("server name", func(s *Security) { s.TLS.ServerName = "127.0.0.1" }, "")
	check("another server name", func(s *Security) { s.TLS.ServerName = "other" }, "wanted to match other")
	check("another server name", func(s *Security) { s.TLS.ServerName = "other" }, "check kafka.tls: ca and server_name")
	check("a wrong password", func(s *Security) { s.SASL.Password = "no" }, "EOF") // kfake says no more
	check("no user", func(s *Security) { s.SASL = SASL{} }, "check kafka.tls and kafka.sasl")
	check("no client certificate", func(s *Security) { s.TLS.Cert, s.TLS.Key = "", "" }, "certificate required: check kafka.tls: cert and key")
	check("an unknown authority", func(s *Security) { s.TLS.CA = "" }, "unknown authority: check kafka.tls: ca and server_name")
	check("no TLS", func(s *Security) { s.TLS = TLS{} }, "check kafka.tls and kafka.sasl")
	check("no such file", func(s *Security) { s.TLS.CA = a.file("none") }, "tls.ca: open")
	check("not a certificate", func(s *Security) { s.TLS.CA = passwords }, "holds no PEM certificate")
	check("not a key", func(s *Security) { s.TLS.Key = passwords }, "tls.cert, tls.key: ")
	check("no such variable", func(s *Security) { s.SASL.Password = "${ANDON_TEST_NO_SUCH}" }, "ANDON_TEST_NO_SUCH is not set")
	check("no password file", func(s *Security) { s.SASL.Password, s.SASL.PasswordFile = "", a.file("none") }, "sasl.password_file: ")
}

// What asking again may mend is left as it is.
func TestAdvisePassing(t *testing.T) {
	for _, err := range []error{context.DeadlineExceeded, kerr.NotCoordinator, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}} {
		if advised, permanent := Advise(err); permanent || advised != err {
			t.Errorf("%v became %v, permanent %v", err, advised, permanent)
		}
	}
}

func TestValidate(t *testing.T) {
	check := func(s Security, want string) {
		t.Helper()
		err := s.Validate()
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	check(Security{}, "")
	check(Security{TLS: TLS{CA: "a"}}, "tls: has settings")
	check(Security{TLS: TLS{Enabled: true, Cert: "a"}}, "tls: cert and key")
	check(Security{SASL: SASL{User: "u"}}, "sasl: has settings but no mechanism")
	check(Security{SASL: SASL{Mechanism: "gssapi"}}, `sasl.mechanism: "gssapi"`)
	check(Security{SASL: SASL{Mechanism: "plain", Password: "p"}}, "sasl.user: ")
	check(Security{SASL: SASL{Mechanism: "plain", User: "u", Password: "p", PasswordFile: "f"}}, "sasl: set one of")
	check(Security{SASL: SASL{Mechanism: "plain", User: "u", Password: "p"}}, "")
	s := Security{SASL: SASL{Mechanism: "plain", User: "u", Password: "hush"}}
	if text := fmt.Sprintf("%v %+v %#v", s, s, s); strings.Contains(text, "hush") {
		t.Error(text)
	}
}

func TestPassword(t *testing.T) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("from file\r\nmore"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("ANDON_TEST_PASSWORD", "from $env")
	get := func(s SASL, want, fault string) {
		t.Helper()
		got, err := s.secret()
		if got != want || (err != nil) != (fault != "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("%q, %v", got, err)
		}
	}
	get(SASL{Password: "p$ss{}"}, "p$ss{}", "")
	get(SASL{Password: "${ANDON_TEST_PASSWORD}"}, "from $env", "")
	get(SASL{Password: "${ANDON_TEST_NONE}"}, "", "ANDON_TEST_NONE is not set")
	get(SASL{PasswordFile: file}, "from file", "")
	get(SASL{PasswordFile: file + "x"}, "", "sasl.password_file")
}

func TestTrouble(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var trouble Trouble
	c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.WithHooks(&trouble), kgo.RequestRetries(0))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ping(t.Context()); err == nil {
		t.Fatal("there is a broker")
	}
	if err := trouble.Err(); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("trouble is %v", err)
	}
}

func TestBackoff(t *testing.T) {
	for tries, most := range map[int]time.Duration{0: 63 * time.Millisecond, 1: 63 * time.Millisecond, 3: 250 * time.Millisecond, 6: 1250 * time.Millisecond, 1000: 1250 * time.Millisecond} {
		for range 100 {
			if d := Backoff(tries); d < most/2-time.Millisecond || d > most {
				t.Fatalf("after %d tries: %v", tries, d)
			}
		}
	}
}
