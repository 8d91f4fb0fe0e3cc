package processors

import (
	"encoding/json"
	"fmt"
	"strings"
)

// note is what a pipeline keeps in the metadata of its group's offset commit: how to get its state back at the committed offset, and what it
// is about to store. Brokers allow 4096 bytes; this takes about 400.
type note struct {
	V int `json:"v"`
	// Fold is the offset to read from without a snapshot; Clock is the clock of the features before it, absent before the first row.
	Fold  int64  `json:"fold"`
	Clock *int64 `json:"wm,omitempty"`
	// Kept is the snapshot to begin with instead.
	Kept *kept `json:"snap,omitempty"`
	// Watch is the piece that was not full, of a line that is watched.
	Watch *noteWatch `json:"watch,omitempty"`
	// Intent is there while the block that begins at the committed offset may or may not be stored.
	Intent *intent `json:"intent,omitempty"`
}

// intent names the block: up to Next, with so many rows, scored by Model, formed under the settings of Schema.
type intent struct {
	Next   int64  `json:"next"`
	Rows   int    `json:"rows"`
	Model  string `json:"model,omitempty"`
	Schema string `json:"schema"`
}

const noteVersion = 1

func (n *note) String() string {
	js, err := json.Marshal(n)
	if err != nil {
		panic(err) // only numbers and strings
	}
	return string(js)
}

// parseNote reads the note of the commit at an offset. Metadata that is no note of ours counts as none: other tools that set a group's
// offsets leave their own or nothing, and the state then starts anew at the offset they chose.
func parseNote(text string, committed int64) (*note, error) {
	if !strings.HasPrefix(text, `{"v":`) {
		return &note{V: noteVersion, Fold: committed}, nil
	}
	n := &note{}
	if err := json.Unmarshal([]byte(text), n); err != nil {
		return nil, fmt.Errorf("read the commit's note %q: %w", text, err)
	}
	if n.V != noteVersion {
		return nil, fmt.Errorf("read the commit's note: it has version %d, this program knows %d: run the program that wrote it", n.V, noteVersion)
	}
	if n.Fold < 0 || n.Fold > committed || n.Kept != nil && (n.Kept.At < n.Fold || n.Kept.At > committed) || n.Intent != nil && n.Intent.Next <= committed {
		return nil, fmt.Errorf("read the commit's note %q: it does not fit the committed offset %d: set the group's offset anew", text, committed)
	}
	return n, nil
}
