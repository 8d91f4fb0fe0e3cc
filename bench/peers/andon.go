package main

import (
	"encoding/json"
	"time"
)

// andon is the program of this tree, whole: what it takes is also ClickHouse's part, which stores each window and what became of each block.
func andon() Peer {
	return Peer{
		Name: "andon", Version: "this tree", Build: BuildAndon, Note: "its ClickHouse included",
		Cases:   Cases(),
		Files:   map[string]string{"andon.yaml": "configs/andon.yaml"},
		Command: []string{"bench/peers/target/andon", "up", "--config", "andon.yaml", "--data", "data", "--listen", "127.0.0.1:{{.Port}}"},
		Decode:  decodeFeatures,
	}
}

// decodeFeatures reads Andon's record of a window: one number a signal and function.
func decodeFeatures(_, value []byte) ([]Window, error) {
	var w struct {
		Asset string    `json:"asset"`
		Start time.Time `json:"start"`
		Count float64   `json:"s_5_count"`
		Mean  float64   `json:"s_5_mean"`
	}
	if err := json.Unmarshal(value, &w); err != nil {
		return nil, err
	}
	return []Window{{Asset: w.Asset, Start: w.Start.UnixMilli(), Count: int64(w.Count), Mean: w.Mean}}, nil
}
