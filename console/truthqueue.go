package console

import (
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// What a person should label next.

// Unlabelled is a window or a frame that waits for a label.
type Unlabelled struct {
	// Why it is in the queue: uncertain, the model was of two minds; fired, a rule acted on it; missed, the model saw nothing where the frames before and after it, or another model, saw something;
	// unseen, no model has looked at it.
	Why     string    `json:"why"`
	Asset   string    `json:"asset"`
	Start   time.Time `json:"start"`
	End     time.Time `json:"end"`
	Risk    float64   `json:"risk"`
	Value   float64   `json:"value"`
	Version string    `json:"version,omitempty"`
	// Class is what the model saw in a frame, empty for nothing; Fired are the rules, Captured its capture in Unix nanoseconds, as text, and Evidence where the picture is, below /api/v1/evidence/.
	Class    string   `json:"class,omitempty"`
	Fired    []string `json:"fired,omitempty"`
	Captured string   `json:"captured,omitempty"`
	Evidence string   `json:"evidence,omitempty"`
}

// maxQueue is how many wait in one answer; queueAsked is how many frames are asked for, since pictures may be gone.
const (
	maxQueue   = 50
	queueAsked = 150
)

// unlabelledWindows looks at the newest thousand windows of each asset, which the key finds: the one of each that the model was least sure of.
const unlabelledWindows = `
SELECT 'uncertain', asset, toUnixTimestamp64Micro(start), toUnixTimestamp64Micro(end), risk, value, toString(version), '', '', ''
FROM (SELECT asset, start, end, risk, value, version FROM scores WHERE pipeline = {pipeline:String} ORDER BY asset, end DESC LIMIT 1000 BY asset) AS s
LEFT ANTI JOIN (SELECT asset, end FROM outcomes WHERE pipeline = {pipeline:String} AND by = 'label' AND gone = 0) AS o ON s.asset = o.asset AND s.end = o.end
ORDER BY abs(risk - 0.5), end DESC
LIMIT 1 BY asset
LIMIT {most:UInt32}`

// unlabelledFrames looks at the newest frames of each camera, at what was seen in their neighbours within two seconds, and at what a shadow saw in them. Only kept ones can be shown and learned from. A label
// counts at once, also before the truth of the frame is settled by it.
const unlabelledFrames = `
WITH
    label NOT IN ('', 'clear', 'normal') OR notEmpty(found) AS something,
    max(if(something, toUnixTimestamp64Micro(captured), toInt64(0))) OVER (PARTITION BY camera ORDER BY captured ROWS BETWEEN 20 PRECEDING AND 1 PRECEDING) AS before,
    min(if(something, toUnixTimestamp64Micro(captured), toInt64(9000000000000000000))) OVER (PARTITION BY camera ORDER BY captured ROWS BETWEEN 1 FOLLOWING AND 20 FOLLOWING) AS after
SELECT multiIf(status != 'scored', 'unseen', f.missed, 'missed', notEmpty(fired), 'fired', 'uncertain') AS why, camera, toUnixTimestamp64Micro(captured), toUnixTimestamp64Micro(captured), risk, risk,
    version, class, arrayStringConcat(fired, '\n'), evidence
FROM
(
    SELECT s.*, NOT s.something AND s.status = 'scored' AND (s.before > 0 AND s.after > 0 AND s.after - s.before <= 2000000 OR h.something = 1) AS missed
    FROM
    (
        SELECT toString(camera) AS camera, captured, toString(status) AS status, toString(version) AS version, risk, fired, evidence, something, before, after,
            if(label != '', toString(label), arrayStringConcat(arrayDistinct(found), ', ')) AS class
        FROM
        (
            SELECT camera, captured, status, version, label, risk, boxes.label AS found, fired, evidence
            FROM frames WHERE pipeline = {pipeline:String} AND status IN ('scored', 'no-model') ORDER BY camera, captured DESC LIMIT 10000 BY camera
        )
    ) AS s
    LEFT JOIN
    (
        SELECT toString(camera) AS camera, captured, max(label NOT IN ('', 'clear', 'normal') OR notEmpty(boxes.label)) AS something
        FROM shadow_frames WHERE pipeline = {pipeline:String} GROUP BY camera, captured
    ) AS h ON h.camera = s.camera AND h.captured = s.captured
    WHERE s.evidence != ''
) AS f
LEFT ANTI JOIN
(
    SELECT toString(asset) AS camera, end AS captured FROM outcomes WHERE pipeline = {pipeline:String} AND by = 'label' AND gone = 0
    UNION ALL
    SELECT toString(asset) AS camera, time AS captured FROM labels WHERE pipeline = {pipeline:String} AND asset != ''
) AS o ON o.camera = f.camera AND o.captured = f.captured
ORDER BY transform(why, ['missed', 'fired', 'uncertain', 'unseen'], [0, 1, 2, 3], 4), if(why = 'uncertain', abs(risk - 0.5), 0), captured DESC
LIMIT 10 BY camera, why
LIMIT {most:UInt32}`

// unlabelled reads a row of either.
func unlabelled(r []any) Unlabelled {
	u := Unlabelled{Why: asText(r[0]), Asset: asText(r[1]), Start: micro(r[2]), End: micro(r[3]), Version: asText(r[6]), Class: text(asText(r[7])), Evidence: asText(r[9])}
	if f := maybe(r[4]); f != nil {
		u.Risk = *f
	}
	if f := maybe(r[5]); f != nil {
		u.Value = *f
	}
	if fired := asText(r[8]); fired != "" {
		u.Fired = strings.Split(fired, "\n")
	}
	if u.Evidence != "" { // which names the capture to the nanosecond: a label must, too
		if at, err := strconv.ParseInt(strings.TrimSuffix(path.Base(u.Evidence), ".jpg"), 10, 64); err == nil {
			u.Start = time.Unix(0, at).UTC()
			u.End, u.Captured = u.Start, strconv.FormatInt(at, 10)
		}
	}
	return u
}

// shown leaves out frames whose pictures are gone.
func (c *Console) shown(pipeline string, all []Unlabelled) []Unlabelled {
	kept := map[string]bool{}
	if c.evidence != nil {
		for _, k := range c.evidence.Kept(pipeline, "", "", 0) {
			kept[k.Ref] = true
		}
	}
	return slices.DeleteFunc(all, func(u Unlabelled) bool { return !kept[u.Evidence] })
}
