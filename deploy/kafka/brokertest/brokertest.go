// Package brokertest runs an Apache Kafka for tests: one broker a test binary, on free ports, with every way in that a client of ours must manage.
//
// Tests run against it when ANDON_TEST_KAFKA=1 (make test-kafka), and against an in-process broker otherwise.
package brokertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Wanted reports whether tests are to run against Apache Kafka.
func Wanted() bool { return os.Getenv("ANDON_TEST_KAFKA") == "1" }

// Need skips a test that can only run against Apache Kafka when that is not wanted.
func Need(t testing.TB) *Broker {
	t.Helper()
	if !Wanted() {
		t.Skip("needs Apache Kafka: run make test-kafka")
	}
	return Get(t)
}

// The user that the broker knows, for PLAIN and for SCRAM-SHA-512. The password is told apart easily in a log.
const (
	User     = "plant"
	Password = "hush-4711-quite-secret"
)

// Broker is a running Kafka. All addresses are host:port.
type Broker struct {
	Addr string // plain text
	// Login speaks TLS and asks for a user; Certificate speaks TLS and asks for the client's certificate.
	Login, Certificate string
	// Proxied is plain text through a proxy that a test starts with Proxy; without one nobody answers there.
	Proxied string
	// CA, ClientCert and ClientKey are PEM files; OtherCA has signed none of the broker's certificates.
	CA, ClientCert, ClientKey, OtherCA string

	behind string // what Proxied leads to
	dir    string
	cmd    *exec.Cmd
	data   string
	base   int // the first of its ports
	extra  string
}

// shared is the broker of the test binary.
var shared struct {
	sync.Mutex
	broker *Broker
	err    error
}

// Get returns the test binary's broker and starts it at the first call; Stop ends it.
func Get(t testing.TB) *Broker {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.broker == nil && shared.err == nil {
		shared.broker, shared.err = start()
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.broker
}

// Stop ends the test binary's broker, if it was started, and removes its files. TestMain calls it.
func Stop() {
	shared.Lock()
	defer shared.Unlock()
	if shared.broker != nil {
		shared.broker.stop()
		shared.broker = nil
	}
}

func start() (*Broker, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	b := &Broker{}
	if b.dir, err = os.MkdirTemp("", "andon-kafka-"); err != nil {
		return nil, err
	}
	if err := b.certificates(); err != nil {
		os.RemoveAll(b.dir)
		return nil, err
	}
	for range 5 { // another process may take a port between our look and the broker's
		if err = b.launch(root); err == nil {
			return b, nil
		}
		if !strings.Contains(err.Error(), "Address already in use") {
			break
		}
	}
	os.RemoveAll(b.dir)
	return nil, err
}

func (b *Broker) launch(root string) error {
	base, err := freePorts(7)
	if err != nil {
		return err
	}
	at := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", base+i) }
	b.Addr, b.Login, b.Certificate, b.behind, b.Proxied = at(0), at(2), at(3), at(4), at(5)
	// The script's own heap keeps a broker small; the rest of the settings make groups as quick as the tests are.
	extra := strings.NewReplacer("@ADDR@", b.Addr, "@LOGIN@", b.Login, "@CERT@", b.Certificate, "@BEHIND@", b.behind, "@PROXIED@", b.Proxied, "@CONTROLLER@", at(1),
		"@DIR@", b.dir, "@USER@", User, "@PASSWORD@", Password).Replace(settings)
	b.data, b.base, b.extra = filepath.Join(b.dir, fmt.Sprint("data-", base)), base, extra
	return b.begin(root)
}

// begin starts the process and waits until it listens.
func (b *Broker) begin(root string) error {
	log, err := os.OpenFile(filepath.Join(b.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	b.cmd = exec.Command("nice", "sh", filepath.Join(root, "deploy", "kafka", "start-broker.sh"), b.data, fmt.Sprint(b.base), "192m")
	b.cmd.Env = append(os.Environ(), "KAFKA_EXTRA="+b.extra, "KAFKA_SCRAM="+User+"="+Password)
	b.cmd.Stdout, b.cmd.Stderr = log, log
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // a test binary that dies takes its broker with it
	if err := b.cmd.Start(); err != nil {
		return fmt.Errorf("start Apache Kafka: %w", err)
	}
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if c, err := net.DialTimeout("tcp", b.Addr, time.Second); err == nil {
			c.Close()
			return nil
		}
		if b.exited() {
			break
		}
	}
	text, _ := os.ReadFile(log.Name())
	b.kill()
	return fmt.Errorf("start Apache Kafka: it does not listen on %s (are its jars there? run make deps-kafka):\n%s", b.Addr, text)
}

// exited looks without reaping, so that a later Wait has something to wait for.
func (b *Broker) exited() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.cmd.Process.Pid))
	if err != nil {
		return true
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(state, "Z")
}

func (b *Broker) stop() {
	_ = b.cmd.Process.Signal(syscall.SIGTERM)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			_ = b.cmd.Process.Kill()
		}
	})
	_ = b.cmd.Wait()
	os.RemoveAll(b.dir)
}

func (b *Broker) kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

// Kill ends the broker as kill -9 does; Revive starts it again on its data and its ports. A test that kills revives: others share the broker.
func (b *Broker) Kill() { b.kill() }

// Revive ends Kill.
func (b *Broker) Revive(t testing.TB) {
	t.Helper()
	root, err := moduleRoot()
	if err == nil {
		err = b.begin(root)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Log returns what the broker has written.
func (b *Broker) Log() string {
	text, _ := os.ReadFile(filepath.Join(b.dir, "log"))
	return string(text)
}

const settings = `
listeners=PLAINTEXT://@ADDR@,LOGIN://@LOGIN@,CERTIFICATE://@CERT@,PROXIED://@BEHIND@,CONTROLLER://@CONTROLLER@
advertised.listeners=PLAINTEXT://@ADDR@,LOGIN://@LOGIN@,CERTIFICATE://@CERT@,PROXIED://@PROXIED@
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,LOGIN:SASL_SSL,CERTIFICATE:SSL,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT
listener.name.login.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_@USER@="@PASSWORD@";
listener.name.login.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.certificate.ssl.client.auth=required
ssl.keystore.type=PEM
ssl.keystore.location=@DIR@/server.pem
ssl.truststore.type=PEM
ssl.truststore.location=@DIR@/ca.crt
group.min.session.timeout.ms=100
group.consumer.min.session.timeout.ms=100
group.consumer.session.timeout.ms=2000
group.consumer.min.heartbeat.interval.ms=10
group.consumer.heartbeat.interval.ms=100
message.max.bytes=1048588
`

// freePorts returns the first of n free ports in a row, below the range from which the system gives clients theirs.
func freePorts(n int) (int, error) {
next:
	for range 200 {
		base := 20000 + rand.IntN(12700-n)
		for i := range n {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+i))
			if err != nil {
				continue next
			}
			l.Close()
		}
		return base, nil
	}
	return 0, errors.New("no free ports for Apache Kafka")
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working folder")
		}
		dir = filepath.Dir(dir)
	}
}
