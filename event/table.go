package event

// Table is the answer to a question put to the store: Rows[i][j] belongs to Columns[j], and is nil, bool, int64, uint64, float64, string, time.Time or a
// slice of these. It can be encoded as JSON.
type Table struct {
	Columns []string `json:"columns"`
	Types   []string `json:"types"`
	Rows    [][]any  `json:"rows"`
	// Truncated tells that the answer had more rows than were asked for.
	Truncated bool `json:"truncated,omitempty"`
}
