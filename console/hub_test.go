package console

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"andon/event"
)

// viewer is a client as the page is one.
type viewer struct {
	t    testing.TB
	conn *websocket.Conn
}

// message is any message of the server; of a frame, kind and points.
type message struct {
	Type, Epoch, Code, Message, Asset string
	ID, Seq                           uint32
	Count                             int
	From, To, Step                    int64
	Whole                             bool
	Samples                           []decodedSample
	Status                            *view
	Rows                              [][]any
	Runs                              []trainingRun

	kind   uint8
	points points
}

func dial(t testing.TB, addr string, header http.Header, subprotocols ...string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	d := websocket.Dialer{Subprotocols: subprotocols, HandshakeTimeout: 20 * time.Second}
	return d.Dial("ws://"+addr+"/ws", header)
}

func (a *appliance) view(t testing.TB) *viewer {
	t.Helper()
	conn, _, err := dial(t, a.addr, nil, subprotocol)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	v := &viewer{t, conn}
	if m := v.next(); m.Type != "hello" || m.Epoch != a.epoch {
		t.Fatalf("the first message is %+v", m)
	}
	return v
}

func (v *viewer) say(js string) {
	v.t.Helper()
	if err := v.conn.WriteMessage(websocket.TextMessage, []byte(js)); err != nil {
		v.t.Fatal(err)
	}
}

func (v *viewer) next() *message {
	v.t.Helper()
	m, err := v.read()
	if err != nil {
		v.t.Fatal(err)
	}
	return m
}

func (v *viewer) read() (*message, error) {
	_ = v.conn.SetReadDeadline(time.Now().Add(60 * time.Second))
	kind, data, err := v.conn.ReadMessage()
	if err != nil {
		return nil, err
	}
	m := new(message)
	if kind == websocket.BinaryMessage {
		m.Type = "frame"
		m.ID, m.Seq, m.kind, m.points = parseFrame(v.t, data)
		return m, nil
	}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("%s: %w", data, err)
	}
	return m, nil
}

// until reads messages up to one that suits.
func (v *viewer) until(what string, suits func(m *message) bool) *message {
	v.t.Helper()
	for range 10_000 {
		if m := v.next(); suits(m) {
			return m
		}
	}
	v.t.Fatalf("%s never came", what)
	return nil
}

func parseFrame(t testing.TB, b []byte) (sub, seq uint32, kind uint8, p points) {
	t.Helper()
	cols, n := int(binary.LittleEndian.Uint16(b[2:])), int(binary.LittleEndian.Uint32(b[12:]))
	if want := frameHead + 8*n + 4*n*cols; len(b) != want {
		t.Fatalf("a frame of %d columns and %d points has %d bytes, want %d", cols, n, len(b), want)
	}
	p = newPoints(cols)
	for i := range n {
		values := make([]float32, cols)
		for c := range values {
			values[c] = math.Float32frombits(binary.LittleEndian.Uint32(b[frameHead+8*n+4*(c*n+i):]))
		}
		p.add(math.Float64frombits(binary.LittleEndian.Uint64(b[frameHead+8*i:])), values...)
	}
	return binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:]), b[0], p
}

func TestFeedLine(t *testing.T) {
	cfg := syntheticConfig()
	cfg.SampleEvery = 100 * time.Millisecond
	a := newAppliance(t, cfg, 3)
	a.start(t)
	v := a.view(t)
	v.say(`{"type":"sub","id":1,"topic":"line","max_hz":10}`)
	m := v.next()
	if m.Type != "snapshot" || m.ID != 1 || m.Seq != 0 {
		t.Fatalf("%+v", m)
	}
	if m.Status == nil {
		m = v.until("the status", func(m *message) bool { return m.Status != nil })
	}
	if len(m.Status.Pipelines) != 2 || m.Status.Pipelines[0].GridSeconds != 3600 || m.Status.RiskCritical != 0.8 {
		t.Fatalf("status %+v", m.Status)
	}
	// A promotion shows without a new connection.
	a.mu.Lock()
	a.status.Pipelines[0].Model = "new"
	a.mu.Unlock()
	seq := m.Seq
	v.until("the new model", func(m *message) bool {
		if m.Seq != seq+1 {
			t.Fatalf("message %d follows %d", m.Seq, seq)
		}
		seq = m.Seq
		return m.Status != nil && m.Status.Pipelines[0].Model == "new"
	})
	a.step()
	v.until("a rate", func(m *message) bool { return len(m.Samples) > 0 && m.Samples[0].of(t, "compressors", "records") > 0 })
}

func TestFeedFleet(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 5)
	a.past(40)
	a.start(t)
	v := a.view(t)
	v.say(`{"type":"sub","id":4,"topic":"fleet","params":{"pipeline":"compressors"},"max_hz":10}`)
	// The store is asked at the start, so the fleet stands before the line has told anything.
	seen := map[string]bool{}
	v.until("the fleet from the store", func(m *message) bool {
		for _, r := range m.Rows {
			seen[r[0].(string)] = true
		}
		return len(seen) == 5
	})
	risk := map[string]float64{}
	for range 3 {
		a.step()
	}
	v.until("each asset's newest score", func(m *message) bool {
		if m.Type != "delta" {
			t.Fatalf("%+v", m)
		}
		for _, r := range m.Rows {
			risk[r[0].(string)] = r[4].(float64)
		}
		for _, u := range a.units[:5] {
			if risk[u.asset] != float64(u.scores[len(u.scores)-1].End/1e6) {
				return false
			}
		}
		return true
	})
}

// An asset's feed is the store's past, then the present, without a hole; a client that comes back gets what it has missed.
func TestFeedAsset(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 2)
	a.past(50)
	a.start(t)
	u := a.units[0]
	times := map[float64]int{}
	collect := func(m *message) {
		if m.Type == "frame" && m.kind == frameRows {
			for _, at := range m.points.times {
				times[at]++
			}
		}
	}
	whole := func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, r := range u.rows {
			if times[float64(r.Time/1e6)] == 0 {
				return false
			}
		}
		return true
	}
	v := a.view(t)
	v.say(`{"type":"sub","id":2,"topic":"asset","params":{"pipeline":"compressors","asset":"compressor-001"},"max_hz":10}`)
	m := v.next()
	if m.Type != "snapshot" || !m.Whole || m.Step != 0 || m.Asset != "compressor-001" {
		t.Fatalf("%+v", m)
	}
	rows, scores := v.next(), v.next()
	if rows.kind != frameRows || len(rows.points.cols) != 14 || scores.kind != frameScores || len(scores.points.cols) != 2 || len(scores.points.times) != len(rows.points.times) {
		t.Fatalf("frames %d and %d of %d and %d points", rows.kind, scores.kind, len(rows.points.times), len(scores.points.times))
	}
	collect(rows)
	for range 20 {
		a.step()
	}
	v.until("the present", func(m *message) bool { collect(m); return whole() })
	newest := u.rows[len(u.rows)-1].Time / 1e6
	v.conn.Close()
	for range 7 {
		a.step()
	}
	v = a.view(t)
	v.say(fmt.Sprintf(`{"type":"sub","id":2,"topic":"asset","params":{"pipeline":"compressors","asset":"compressor-001"},"since":%d}`, newest))
	v.next()
	rows = v.next()
	if n := len(rows.points.times); n != 8 || rows.points.times[0] != float64(newest) {
		t.Fatalf("%d points since the one held, the first at %v; want 8 from %d", n, rows.points.times[0], newest)
	}
	collect(rows)
	if !whole() {
		t.Fatal("a hole is left after coming back")
	}
}

// What the watch has told and the store does not hold yet is in the snapshot too.
func TestFeedAssetBeforeTheFlush(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	a.start(t)
	for i := range 30 {
		a.Observe("compressors", []event.Row{{Asset: "x", Time: int64(i) * 1e9, Values: make([]float64, 14)}}, nil)
	}
	v := a.view(t)
	v.say(`{"type":"sub","id":1,"topic":"fleet","params":{"pipeline":"compressors"},"max_hz":10}`)
	v.until("the rows", func(m *message) bool { return len(m.Rows) > 0 })
	v.say(`{"type":"sub","id":2,"topic":"asset","params":{"pipeline":"compressors","asset":"x"}}`)
	m := v.until("the rows", func(m *message) bool { return m.Type == "frame" && m.kind == frameRows })
	if len(m.points.times) != 30 {
		t.Fatalf("%d of 30 points", len(m.points.times))
	}
}

// Where more was watched than is kept until the store has it, the snapshot says that it may have a hole.
func TestFeedAssetUnderLoad(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	a.start(t)
	v := a.view(t)
	rows := make([]event.Row, 500)
	tell := func(n int) {
		for j := range rows {
			rows[j] = event.Row{Asset: "x", Time: int64(n*len(rows)+j) * 1e6, Values: make([]float64, 14)}
		}
		a.Observe("compressors", rows, nil)
	}
	opened := func(id int) *message {
		v.say(fmt.Sprintf(`{"type":"sub","id":%d,"topic":"asset","params":{"pipeline":"compressors","asset":"x"}}`, id))
		return v.until("the snapshot", func(m *message) bool { return m.Type == "snapshot" && m.ID == uint32(id) })
	}
	if !opened(1).Whole {
		t.Error("a hole where nothing was told yet")
	}
	for n := range 400 {
		tell(n)
		if n%20 == 0 {
			opened(1)
		}
	}
	v.until("what was told", func(m *message) bool { return m.Type == "frame" && len(m.points.times) > 0 })
	if opened(2).Whole {
		t.Error("no hole, though more was told than is kept")
	}
}

// A client that does not read is left behind alone, and is told to the point how much it has missed.
func TestSlowClient(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	a.hub.writeWithin = 5 * time.Minute
	a.start(t)
	const sub = `{"type":"sub","id":1,"topic":"asset","params":{"pipeline":"compressors","asset":"x"},"max_hz":10}`
	slow, quick := a.view(t), a.view(t)
	// A small window makes a client that does not read felt early.
	if err := slow.conn.NetConn().(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	for _, v := range []*viewer{slow, quick} {
		v.say(sub)
		if m := v.next(); m.Type != "snapshot" {
			t.Fatalf("%+v", m)
		}
		v.next()
		v.next()
	}
	const total, last = 120_000, float64(120_000 - 1)
	// count reads up to the last point and returns how many came and how many were said to be missing.
	count := func(v *viewer) (came, missed int, err error) {
		for {
			m, err := v.read()
			if err != nil {
				return came, missed, err
			}
			missed += m.Count
			if m.Type == "gap" && m.From > m.To {
				return came, missed, fmt.Errorf("a gap from %d to %d", m.From, m.To)
			}
			came += len(m.points.times)
			if n := len(m.points.times); n > 0 && m.points.times[n-1] == last {
				return came, missed, nil
			}
		}
	}
	type outcome struct {
		came, missed int
		err          error
	}
	result := make(chan outcome, 1)
	go func() {
		came, missed, err := count(quick)
		result <- outcome{came, missed, err}
	}()
	rows := make([]event.Row, 250)
	for i := 0; i < total; i += len(rows) {
		for j := range rows {
			rows[j] = event.Row{Asset: "x", Time: int64(i+j) * 1e6, Values: make([]float64, 14)}
		}
		a.Observe("compressors", rows, nil)
		time.Sleep(10 * time.Millisecond)
	}
	got := <-result
	if got.err != nil || got.came+got.missed != total {
		t.Fatalf("the quick client got %d and missed %d of %d: %v", got.came, got.missed, total, got.err)
	}
	came, missed, err := count(slow)
	if err != nil || came+missed != total || missed <= got.missed {
		t.Fatalf("the slow client got %d and was told of %d missing of %d: %v", came, missed, total, err)
	}
	t.Logf("quick: %d came, %d missed; slow: %d came, %d missed", got.came, got.missed, came, missed)
}

// A client that takes nothing at all is let go.
func TestDeadClient(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	a.hub.writeWithin = 100 * time.Millisecond
	a.start(t)
	v := a.view(t)
	if err := v.conn.NetConn().(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	v.say(`{"type":"sub","id":1,"topic":"asset","params":{"pipeline":"compressors","asset":"x"},"max_hz":10}`)
	v.next()
	rows := make([]event.Row, 1000)
	for i := 0; valueOf(a.metrics.clients) > 0; i++ {
		if i == 6000 {
			t.Fatal("a client that takes nothing is kept for ever")
		}
		for j := range rows {
			rows[j] = event.Row{Asset: "x", Time: int64(i*len(rows)+j) * 1e6, Values: make([]float64, 14)}
		}
		a.Observe("compressors", rows, nil)
		time.Sleep(10 * time.Millisecond)
	}
}

func TestManyClients(t *testing.T) {
	cfg := syntheticConfig()
	cfg.MaxClients = 150
	a := newAppliance(t, cfg, 20)
	a.start(t)
	var wg sync.WaitGroup
	viewers := make([]*viewer, cfg.MaxClients)
	for i := range viewers {
		viewers[i] = a.view(t)
		viewers[i].say(`{"type":"sub","id":1,"topic":"fleet","params":{"pipeline":"compressors"},"max_hz":10}`)
		viewers[i].say(`{"type":"sub","id":2,"topic":"training"}`)
	}
	conn, _, err := dial(t, a.addr, nil, subprotocol)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, closeBusy) {
		t.Errorf("one client too many: %v", err)
	}
	conn.Close()
	for _, v := range viewers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			newest := map[string]float64{}
			for done := false; !done; {
				m, err := v.read()
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range m.Rows {
					if end, ok := r[4].(float64); ok {
						newest[r[0].(string)] = end
					}
				}
				done = len(newest) == 20
				for _, u := range a.units[:20] {
					done = done && newest[u.asset] == float64(firstCycle.Add(31*time.Hour).UnixMilli())
				}
			}
		}()
	}
	for range 30 {
		a.step()
		time.Sleep(20 * time.Millisecond)
	}
	wg.Wait()
}

func TestFeedTraining(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	a.steps = []event.Training{{Run: "old", Pipeline: "compressors", State: event.TrainingFinished, Epoch: 9, Epochs: 9, Time: 5e9, Version: "v"}}
	a.start(t)
	v := a.view(t)
	v.say(`{"type":"sub","id":1,"topic":"training","max_hz":10}`)
	runs := map[string]trainingRun{}
	take := func(m *message) {
		for _, r := range m.Runs {
			runs[r.Run] = r
		}
	}
	v.until("the run of the past", func(m *message) bool { take(m); return runs["old"].Version == "v" })
	a.Training(event.Training{Run: "new", Pipeline: "compressors", State: event.TrainingEpoch, Epoch: 1, Epochs: 20, Loss: 0.5, ValLoss: math.NaN(), Time: 9e9})
	v.until("the new run", func(m *message) bool { take(m); return runs["new"].Epoch == 1 })
}

func TestFeedRefusals(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	a.start(t)
	v := a.view(t)
	refused := func(js, code string) {
		t.Helper()
		v.say(js)
		if m := v.next(); m.Type != "error" || m.Code != code || m.Message == "" {
			t.Errorf("%s: %+v", js, m)
		}
	}
	refused(`nonsense`, codeBadRequest)
	refused(`{"type":"dance"}`, codeBadRequest)
	refused(`{"type":"sub","id":1,"topic":"moon"}`, codeBadRequest)
	refused(`{"type":"sub","id":1,"topic":"fleet","params":{"pipeline":"nope"}}`, codeNotFound)
	refused(`{"type":"sub","id":1,"topic":"asset","params":{"pipeline":"compressors"}}`, codeBadRequest)
	a.mu.Lock()
	a.refuse = errors.New("code: 60, message: Table andon.readings does not exist")
	a.mu.Unlock()
	refused(`{"type":"sub","id":1,"topic":"asset","params":{"pipeline":"compressors","asset":"x"}}`, codeStore)
	for i := range maxSubs {
		v.say(fmt.Sprintf(`{"type":"sub","id":%d,"topic":"line"}`, i+10))
	}
	v.say(`{"type":"sub","id":99,"topic":"line"}`)
	v.until("the bound on subscriptions", func(m *message) bool { return m.Type == "error" && m.Code == codeBusy && m.ID == 99 })
	v.say(`{"type":"unsub","id":10}`)
	v.say(`{"type":"sub","id":99,"topic":"line"}`)
	v.until("room after unsub", func(m *message) bool { return m.Type == "snapshot" && m.ID == 99 })
	v.say(strings.Repeat("x", readLimit+1))
	for {
		if _, err := v.read(); err != nil {
			if !websocket.IsCloseError(err, websocket.CloseMessageTooBig, websocket.CloseAbnormalClosure) && !strings.Contains(err.Error(), "reset") {
				t.Errorf("a request beyond the limit ended with %v", err)
			}
			break
		}
	}
	a.hub.feedsMu.Lock()
	defer a.hub.feedsMu.Unlock()
	if len(a.hub.feeds) != 0 {
		t.Errorf("feeds left behind: %v", a.hub.feeds)
	}
}

func TestOrigin(t *testing.T) {
	cfg := syntheticConfig()
	cfg.Origins = []string{"https://ops.example.org"}
	a := newAppliance(t, cfg, 0)
	a.start(t)
	open := func(want int, header http.Header) {
		t.Helper()
		conn, res, err := dial(t, a.addr, header, subprotocol)
		if err == nil {
			conn.Close()
		}
		if res == nil || res.StatusCode != want {
			t.Errorf("%v: %v, %v; want %d", header, res, err, want)
		}
	}
	open(101, nil)
	open(101, http.Header{"Origin": {"http://" + a.addr}})
	open(101, http.Header{"Origin": {"https://ops.example.org"}})
	open(403, http.Header{"Origin": {"https://evil.example"}})
	open(403, http.Header{"Origin": {"null"}})
	// A name of someone else's that resolves to this address.
	open(421, http.Header{"Origin": {"http://evil.example"}, "Host": {"evil.example"}})
	conn, _, err := dial(t, a.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseProtocolError) {
		t.Errorf("without the subprotocol: %v", err)
	}
}

// The end of the server ends the feeds, with a word.
func TestShutdown(t *testing.T) {
	a := newAppliance(t, syntheticConfig(), 1)
	addr, err := a.Listen()
	if err != nil {
		t.Fatal(err)
	}
	a.addr = addr
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	v := a.view(t)
	v.say(`{"type":"sub","id":1,"topic":"line"}`)
	v.next()
	cancel()
	for {
		if _, err = v.read(); err != nil {
			break
		}
	}
	if !websocket.IsCloseError(err, closeRestart) {
		t.Errorf("the feed ended with %v", err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the port is still open")
	}
}
