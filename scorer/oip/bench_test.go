package oip

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"andon/event"
	"andon/model"
	"andon/model/ort/orttest"
	"andon/scorer"
)

// instant is a judge whose runs cost nothing.
type instant struct{ Judge }

func (instant) Serve(_ context.Context, _ *model.Model, _ []float32, out []event.Verdict) error {
	for i := range out {
		out[i].Value, out[i].Risk, out[i].Batch = 101.25, 0.25, 1
	}
	return nil
}

// BenchmarkREST is one request over a connection of the loopback, its client a few lines; -cpu 1 makes ns/op the cost of both. The demo's window and network, and
// no run at all.
func BenchmarkREST(b *testing.B) {
	orttest.Open(b)
	const length, width = 30, 29
	r := model.Recipe{Grid: time.Hour, Length: length, Smooth: 1}
	for i := range width {
		r.Signals = append(r.Signals, "s"+strconv.Itoa(i))
	}
	m, err := model.Seal(orttest.GRU(length, width, 32, 2, 1), model.Meta{Pipeline: "pumps", Task: model.RemainingLife, Recipe: r})
	if err != nil {
		b.Fatal(err)
	}
	models, err := model.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	judge := scorer.New(scorer.Default(), log, prometheus.NewRegistry())
	b.Cleanup(judge.Close)
	models.Prepare(judge.Load)
	if err := models.Add(m); err != nil {
		b.Fatal(err)
	}
	if err := models.Promote("pumps", m.Version, "test", "first"); err != nil {
		b.Fatal(err)
	}
	w := make([]float32, length*width)
	for i := range w {
		w[i] = float32(math.Sin(float64(i)))
	}
	numbers, _ := json.Marshal(w)
	wide := make([]float64, len(w)) // as Python writes what it holds as float32
	for i := range w {
		wide[i] = float64(w[i])
	}
	digits17, _ := json.Marshal(wide)
	js := `{"inputs":[{"name":"window","datatype":"FP32","shape":[1,30,29],"data":%s}]}`
	bin := fmt.Sprintf(`{"inputs":[{"name":"window","datatype":"FP32","shape":[1,30,29],"parameters":{"binary_data_size":%d}}],"parameters":{"binary_data_output":true}}`, 4*len(w))
	post := func(body, header string) []byte {
		return fmt.Appendf(nil, "POST /v2/models/pumps/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body)
	}
	for _, run := range []struct {
		name  string
		judge Judge
	}{{"none", instant{judge}}, {"gru", judge}} {
		s := New(Default(), Deps{Judge: run.judge, Models: models, Ready: func() error { return nil }}, log, prometheus.NewRegistry())
		web := httptest.NewServer(s)
		for _, body := range []struct {
			name string
			text []byte
		}{
			{"json", post(fmt.Sprintf(js, numbers), "")},
			{"json17", post(fmt.Sprintf(js, digits17), "")},
			{"binary", post(bin+string(bytesOf(w)), headerLength+": "+strconv.Itoa(len(bin))+"\r\n")},
		} {
			b.Run("run="+run.name+"/body="+body.name, func(b *testing.B) {
				conn, err := net.Dial("tcp", strings.TrimPrefix(web.URL, "http://"))
				if err != nil {
					b.Fatal(err)
				}
				defer conn.Close()
				back := bufio.NewReader(conn)
				from := cpu()
				for b.Loop() {
					if _, err := conn.Write(body.text); err != nil {
						b.Fatal(err)
					}
					if status := skipAnswer(back); status != http.StatusOK {
						b.Fatal(status)
					}
				}
				b.ReportMetric(float64(cpu()-from)/float64(b.N), "cpu-ns/op")
				b.ReportAllocs()
			})
		}
		web.Close()
	}
}

// skipAnswer reads an HTTP answer that has a length and returns its status, 0 where there is none.
func skipAnswer(r *bufio.Reader) (status int) {
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return 0
		}
		if len(line) <= 2 {
			break
		}
		if status == 0 {
			status, _ = strconv.Atoi(string(line[9:12]))
		} else if v, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(v))
		}
	}
	_, _ = io.CopyN(io.Discard, r, int64(length))
	return status
}

// cpu returns the processor time of the process, in nanoseconds.
func cpu() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}
