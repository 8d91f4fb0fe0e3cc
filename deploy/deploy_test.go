package deploy

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
)

// The numbers of rows are those of the published data sets.
func TestDemo(t *testing.T) {
	for name, rows := range map[string]int{
		"fd001_train.csv.gz": 20631, "fd001_test.csv.gz": 13096, "fd001_rul.csv.gz": 100, "machine_temperature.csv.gz": 22695,
	} {
		f, err := Demo().Open(name)
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(name, err)
		}
		text, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(name, err)
		}
		if got := bytes.Count(bytes.TrimSpace(text), []byte("\n")); got != rows {
			t.Errorf("%s has %d rows and a header, want %d", name, got, rows)
		}
		f.Close()
	}
	if len(Config) == 0 {
		t.Error("the reference configuration is empty")
	}
}
