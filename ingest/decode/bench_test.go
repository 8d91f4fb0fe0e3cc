package decode

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"andon/event"
)

var sixteen = func() (s []string) {
	for i := 1; i <= 16; i++ {
		s = append(s, fmt.Sprintf("s_%d", i))
	}
	return s
}()

var fourteen = strings.Split("s_2,s_3,s_4,s_7,s_8,s_9,s_11,s_12,s_13,s_14,s_15,s_17,s_20,s_21", ",")

// cases are the records of the benchmarks.
var cases = map[string]struct {
	spec  Spec
	value string
}{
	"row=200B": {Spec{Signals: []string{"temperature", "pressure", "vibration", "current"}},
		`{"asset":"compressor-017","time":"2026-01-31T05:00:00.250Z","temperature":641.82,"pressure":21.61,"vibration":0.0123,"current":47.47,"site":"north hall","line":"A-7","firmware":"4.11.2-r3","sequence":1834471234}`},
	"row=16-sensors": {Spec{Signals: sixteen},
		`{"asset":"compressor-017","time":"2026-01-31T05:00:00Z","s_1":518.67,"s_2":641.82,"s_3":1589.7,"s_4":1400.6,"s_5":14.62,"s_6":21.61,"s_7":554.36,"s_8":2388.06,"s_9":9046.19,"s_10":1.3,"s_11":47.47,"s_12":521.66,"s_13":2388.02,"s_14":8138.62,"s_15":8.4195,"s_16":0.03}`},
	"row=16-sensors-17-digits": {Spec{Signals: sixteen, TimeUnit: UnitMilliseconds},
		`{"asset":"compressor-017","time":1769835600000,"s_1":518.67123456789012,"s_2":641.82123456789012,"s_3":1589.7123456789012,"s_4":1400.6123456789012,"s_5":14.621234567890123,"s_6":21.611234567890123,"s_7":554.36123456789012,"s_8":2388.0612345678901,"s_9":9046.1912345678901,"s_10":1.3123456789012345,"s_11":47.471234567890123,"s_12":521.66123456789012,"s_13":2388.0212345678901,"s_14":8138.6212345678901,"s_15":8.4195123456789012,"s_16":0.031234567890123456}`},
	"row=200B-rules": {Spec{Signals: []string{"temperature", "pressure", "vibration", "current"}, Derive: []Derive{{Signal: "f", Of: "temperature", Scale: 1.8, Offset: 32}},
		Where: []Where{{Signal: "temperature", Below: num(910)}}},
		`{"asset":"compressor-017","time":"2026-01-31T05:00:00.250Z","temperature":641.82,"pressure":21.61,"vibration":0.0123,"current":47.47,"site":"north hall","line":"A-7","firmware":"4.11.2-r3","sequence":1834471234}`},
	"row=narrow": {Spec{Shape: ShapeNarrow, Signals: fourteen}, `{"asset":"compressor-017","time":"2026-01-31T05:00:00Z","signal":"s_14","value":8138.62}`},
	"row=fd001":  {Spec{Signals: fourteen, Asset: Key}, `{"asset":"compressor-017","time":"2020-01-01T05:00:00Z","setting_1":-0.0007,"setting_2":-0.0004,"setting_3":100,"s_1":518.67,"s_2":641.82,"s_3":1589.7,"s_4":1400.6,"s_5":14.62,"s_6":21.61,"s_7":554.36,"s_8":2388.06,"s_9":9046.19,"s_10":1.3,"s_11":47.47,"s_12":521.66,"s_13":2388.02,"s_14":8138.62,"s_15":8.4195,"s_16":0.03,"s_17":392,"s_18":2388,"s_19":100,"s_20":39.06,"s_21":23.419}`},
}

// cpu is the process's CPU time in nanoseconds, which stays true on a busy machine.
func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkDecode(b *testing.B) {
	for name, c := range cases {
		b.Run(name+"/with=andon", func(b *testing.B) {
			d, r := mustNew(b, c.spec), record("compressor-017", c.value)
			var batch event.Batch
			b.SetBytes(int64(len(c.value)))
			b.ReportAllocs()
			from := cpu()
			for i := 0; b.Loop(); i++ {
				if i&1023 == 0 {
					batch.Reset()
				}
				if err := d.Decode(r, &batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpu()-from)/float64(b.N), "cpu-ns/row")
		})
		if c.spec.Shape == ShapeNarrow {
			continue
		}
		b.Run(name+"/with=encoding-json", func(b *testing.B) {
			value := []byte(c.value)
			b.SetBytes(int64(len(value)))
			b.ReportAllocs()
			from := cpu()
			for b.Loop() {
				var row struct {
					Asset                                     string
					Time                                      any
					Temperature, Pressure, Vibration, Current *float64
					S1                                        *float64 `json:"s_1"`
					S2                                        *float64 `json:"s_2"`
					S3                                        *float64 `json:"s_3"`
					S4                                        *float64 `json:"s_4"`
					S5                                        *float64 `json:"s_5"`
					S6                                        *float64 `json:"s_6"`
					S7                                        *float64 `json:"s_7"`
					S8                                        *float64 `json:"s_8"`
					S9                                        *float64 `json:"s_9"`
					S10                                       *float64 `json:"s_10"`
					S11                                       *float64 `json:"s_11"`
					S12                                       *float64 `json:"s_12"`
					S13                                       *float64 `json:"s_13"`
					S14                                       *float64 `json:"s_14"`
					S15                                       *float64 `json:"s_15"`
					S16                                       *float64 `json:"s_16"`
					S17                                       *float64 `json:"s_17"`
					S20                                       *float64 `json:"s_20"`
					S21                                       *float64 `json:"s_21"`
				}
				if err := json.Unmarshal(value, &row); err != nil {
					b.Fatal(err)
				}
				if s, ok := row.Time.(string); ok {
					if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(cpu()-from)/float64(b.N), "cpu-ns/row")
		})
	}
}
