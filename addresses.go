package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// addresses is what DIR/run/addresses.json tells of a running appliance. It is written when the appliance is ready and removed when it stops.
type addresses struct {
	Console          string `json:"console"`
	Kafka            string `json:"kafka"`
	ClickHouseNative string `json:"clickhouse_native"`
	ClickHouseHTTP   string `json:"clickhouse_http"`
	// Credentials is the path of the file that holds ClickHouse's user and password; empty where the configuration gave a DSN.
	Credentials string `json:"credentials"`
	PID         int    `json:"pid"`
}

func addressesFile(data string) string { return filepath.Join(data, "run", "addresses.json") }

// writeAddresses puts the file in place whole.
func writeAddresses(data string, a addresses) error {
	js, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	name := addressesFile(data)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name+".tmp", append(js, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".tmp", name)
}

// findAppliance returns the console's URL: url itself if given, else from the data folder.
func findAppliance(data, url string) (string, error) {
	if url != "" {
		return url, nil
	}
	a, err := readAddresses(data)
	if err != nil {
		return "", environment(err)
	}
	return "http://" + a.Console, nil
}

// readAddresses returns where the appliance on a data folder listens.
func readAddresses(data string) (addresses, error) {
	var a addresses
	js, err := os.ReadFile(addressesFile(data))
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("no appliance is running on the data folder %s: start one with 'andon up --data %s', or name it with --data or --url", data, data)
	}
	if err != nil {
		return a, err
	}
	if err := json.NewDecoder(bytes.NewReader(js)).Decode(&a); err != nil || a.Console == "" {
		return a, fmt.Errorf("%s does not hold an appliance's addresses: %v", addressesFile(data), err)
	}
	return a, nil
}
