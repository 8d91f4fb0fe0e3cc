package event

// Sketch is what one piece of a line looked like, so many windows in a row of one model's and one asset group's, beside what the model was made from. The sketches of several partitions add up:
// their counts, and all of Sums.
type Sketch struct {
	// Position is of the record that completed the piece's last window.
	Position `json:"position"`
	Pipeline string `json:"pipeline"`
	Version  string `json:"version"`
	// Group is the asset group's name; the fleet is the sum of its groups.
	Group string `json:"group"`
	// Stranger tells that the group is an asset of a kind that the reference does not know, as a camera that came later: it is no part of the fleet.
	Stranger bool `json:"stranger,omitempty"`
	// Apart names an asset that is held against what the line has learned of it alone, since the reference does not know it: its pieces are rounds of their own. Empty for all others.
	Apart string `json:"apart,omitempty"`
	// Piece counts the pieces of the partition since its state began; Last tells of the piece's last group.
	Piece int64 `json:"piece"`
	Last  bool  `json:"last,omitempty"`
	// Reference is where what is expected comes from, one of the Reference constants.
	Reference string `json:"reference"`
	// Start and End are the least and greatest event time at which a window ended, Unix nanoseconds.
	Start int64 `json:"start"`
	End   int64 `json:"end"`
	// Windows is how many there are. Clusters is how many assets they are of, Squares the sum of the squares of their windows, Blocks and BlockSquares the same of parts of time.
	Windows      int     `json:"windows"`
	Clusters     int     `json:"assets"`
	Squares      float64 `json:"squares"`
	Blocks       int     `json:"blocks"`
	BlockSquares float64 `json:"block_squares"`
	// What is expected of the answers, where the risk is a probability: hits, false alarms, misses, right silences, and p(1-p).
	TP    float64 `json:"tp,omitempty"`
	FP    float64 `json:"fp,omitempty"`
	FN    float64 `json:"fn,omitempty"`
	TN    float64 `json:"tn,omitempty"`
	Brier float64 `json:"brier,omitempty"`

	Features []SketchFeature `json:"features"`
}

// SketchAt is a Sketch as a record of the topic of sketches holds it, at that record's Offset.
type SketchAt struct {
	Offset int64
	Sketch
}

// Judged is what lies between two offsets of the topic of sketches, and what the panel says of it.
type Judged struct {
	Topic       string
	Partition   int32
	First, Next int64
	Sketches    []Sketch
	Rounds      []Round
}

// Where the reference of a sketch comes from.
const (
	ReferenceModel = "model" // it was made at training
	ReferenceLine  = "line"  // the model has none: it is of the first windows of the line that it scored
)

// SketchFeature is one feature of a Sketch.
type SketchFeature struct {
	Name string `json:"name"`
	// Role is one of the Role constants.
	Role string `json:"role"`
	// Counts is of the values in each bin of the reference, Expected what it leads to expect, of as many windows of the same strata.
	Counts   Counts `json:"counts"`
	Expected Shares `json:"expected"`
	// Missing is how many windows have no value, ExpectedMissing how many were to be expected.
	Missing         uint32  `json:"missing,omitempty"`
	ExpectedMissing float64 `json:"expected_missing,omitempty"`
	// Weights, of the risk where it is a probability, are the sums of the calibrated probabilities of each bin.
	Weights []float64 `json:"weights,omitempty"`
	// Sum is of the values in the feature's unit, ExpectedSum what the reference leads to expect, SquaredSum the sum over windows of its variance.
	Sum         float64 `json:"sum"`
	ExpectedSum float64 `json:"expected_sum"`
	SquaredSum  float64 `json:"squared_sum"`
	// Tests are those of place, spread and missing values.
	Tests Tests `json:"tests"`
	// Furthest names assets that are furthest off, the furthest first.
	Furthest []string `json:"furthest,omitempty"`
	// Vector is of embeddings, nil for what is one number.
	Vector *SketchVector `json:"vector,omitempty"`
}

// SketchVector is what Sums are of a number for the features of embeddings: their squares are of lengths. It adds up, too.
type SketchVector struct {
	// Sum is of the features less what is expected of them; ClusterCross of the sums of assets times their windows, BlockCross of parts of time.
	Sum          []float32 `json:"sum"`
	ClusterCross []float32 `json:"cluster_cross"`
	BlockCross   []float32 `json:"block_cross"`
	// Within is the sum over windows of the mean squared distance of one of the reference's embeddings from their mean, Freedom of how many dimensions they effectively are, times windows.
	Within  float64 `json:"within"`
	Freedom float64 `json:"freedom"`
	// Of Sums that is not used which Sum and the Crosses of the vector are.
	Sums `json:"sums"`
}

// Whole tells whether it holds together.
func (v *SketchVector) Whole() bool {
	const most = 1024
	ok := len(v.Sum) > 0 && len(v.Sum) <= most && len(v.ClusterCross) == len(v.Sum) && len(v.BlockCross) == len(v.Sum) && v.Within*0 == 0 && v.Freedom*0 == 0
	for _, all := range [][]float32{v.Sum, v.ClusterCross, v.BlockCross} {
		for _, x := range all {
			ok = ok && x*0 == 0
		}
	}
	return ok
}

// What a feature is.
const (
	RoleInput      = "input"      // a channel of the window
	RoleTogether   = "together"   // how badly the channels fit together as they used to
	RolePrediction = "prediction" // what the model says
	RoleLoss       = "loss"       // what it is expected to lose
)

// Sums are what a test of the mean of a residual needs: it is 0 on average where nothing has changed.
type Sums struct {
	// Sum is of the residuals, Square of their squares.
	Sum    float64 `json:"sum"`
	Square float64 `json:"square"`
	// ClusterSquare is the sum over assets of the square of their sum, ClusterCross that of their sum times their windows; BlockSquare and BlockCross are of parts of time.
	ClusterSquare float64 `json:"cluster_square"`
	ClusterCross  float64 `json:"cluster_cross"`
	BlockSquare   float64 `json:"block_square"`
	BlockCross    float64 `json:"block_cross"`
	// Noise is the sum over windows of the standard deviation of what the reference says of the mean; Between the variance between the reference's assets times Squares, Drift the variance
	// between its pieces times Windows, References how many assets or parts of time it had, times Windows.
	Noise      float64 `json:"noise"`
	Between    float64 `json:"between"`
	Drift      float64 `json:"drift"`
	References float64 `json:"references"`
}

// Finding is how far one feature of one group is from its reference, in one round.
type Finding struct {
	Feature, Role, Group string
	// Windows of Assets were looked at; Effective is as how many independent ones they count.
	Windows, Assets int
	Effective       float64
	// Before and Now are means in the feature's unit, Deviation the reference's: of the strata in the mix that there is now.
	Before, Now, Deviation float64
	// Place is how far ranks have moved on average, between -0.5 and 0.5, Spread by how much the mean square of their distance from the middle has grown, from a twelfth. KS, PSI (less what chance alone leads to), JS (Jensen-Shannon) and Hellinger are distances of the distributions.
	Place, Spread, KS, PSI, JS, Hellinger float64
	// Missing is the share of values missing above the reference's.
	Missing float64
	// P is the least P value of the tests of place, spread, distribution and missing values, corrected for their number; Q is P corrected for all features and groups of the round.
	P, Q float64
	// Measure names the test that P is of, and Size what it measured.
	Measure string
	Size    float64
	// Votes is how many distances are beyond their limits; Drifted tells that it counts as a change, for so many rounds in a row as Streak says.
	Votes   int
	Drifted bool
	Streak  int
	// Furthest names assets that are furthest off.
	Furthest []string
	// Counts and Expected are the histograms, in the reference's bins of as many values each.
	Counts   []uint32
	Expected []float32
}

// Estimate is what a model is expected to be worth, before the truth is known.
type Estimate struct {
	// Metric is loss, accuracy, f1, roc_auc or brier, of so many windows.
	Metric  string
	Windows int
	Value   float64
	// Before is what the reference leads to expect of such windows, Error the standard deviation of Value, by assets and parts of time, P the P value of a rise of the loss; NaN where they are not known.
	Before, Error, P float64
}

// Round is what the panel says of one round: a piece of each partition.
type Round struct {
	// Position is of the last sketch in it, in the topic of sketches.
	Position
	Pipeline, Version, Reference string
	// Number counts the rounds of the version.
	Number int64
	// Start and End are event times, Unix nanoseconds.
	Start, End int64
	Windows    int
	Findings   []Finding
	Estimates  []Estimate
}
