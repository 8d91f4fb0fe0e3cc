package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"andon/event"
)

// Letters that one answer, and one replay, may hold.
const (
	maxLetters     = 1000
	defaultLetters = 100
)

// ErrBusy means that a replay is going on; ErrAsk that what is asked for cannot be done, whenever it is asked. They are wrapped with the words for the person.
var (
	ErrBusy = errors.New("busy")
	ErrAsk  = errors.New("refused")
)

// ReplayAsk chooses dead letters to be sent again.
type ReplayAsk struct {
	// Letters are positions, topic/partition@offset. Without any, what is not empty below chooses, and All where nothing does.
	Letters  []string  `json:"letters"`
	Pipeline string    `json:"pipeline"`
	Reason   string    `json:"reason"`
	Since    time.Time `json:"since,omitzero"`
	All      bool      `json:"all"`
	// To is the topic to send to; empty: each letter's own.
	To string `json:"to"`
	// Limit is how many letters one call sends at most, 1 to 1000; 0 means 100.
	Limit int `json:"limit"`
	// DryRun only tells what would be sent.
	DryRun bool `json:"dry_run"`
	// Again sends those, too, that were sent before or may have been.
	Again bool `json:"again"`
	// Who asks, for the memory of replays.
	Who string `json:"who"`
	// After is the Next of the answer before, to go on there.
	After string `json:"after"`
}

// ReplayAnswer tells what became of the letters of one call.
type ReplayAnswer struct {
	Run string `json:"run"`
	// Chosen is how many records the choice has, Before how many of them were left out since they were sent before, and InDoubt since an earlier replay ended without
	// saying whether it had sent them. They are counted in the first call only, and Before and InDoubt are left out with Again.
	Chosen  uint64 `json:"chosen"`
	Before  uint64 `json:"sent_before"`
	InDoubt uint64 `json:"in_doubt_before"`
	// Letters are those of this call.
	Letters []ReplayedLetter `json:"letters"`
	// Next is what to send as After for the letters that are left; empty when there are none.
	Next string `json:"next,omitempty"`
}

// ReplayedLetter is one letter and what became of it.
type ReplayedLetter struct {
	From      string   `json:"from"`
	Pipelines []string `json:"pipelines"`
	Reasons   []string `json:"reasons"`
	Size      uint64   `json:"size"`
	// To is where it is now, topic/partition@offset; the topic alone where it was not sent.
	To string `json:"to"`
	// State is sent, failed, yielded (another replay has it), in doubt (not acknowledged in time) or, in a dry run, to send.
	State  string `json:"state"`
	Detail string `json:"detail,omitempty"`
}

const replayExample = `{"letters":["fleet.compressors/3@1842"]}`

// postReplay sends dead letters again.
func (c *Console) postReplay(w http.ResponseWriter, r *http.Request) {
	var ask ReplayAsk
	if !readStrict(w, r, &ask, replayExample) {
		return
	}
	if c.deps.Replay == nil {
		fail(w, http.StatusNotImplemented, codeNotFound, "this process sends nothing")
		return
	}
	if err := ask.check(); err != nil {
		fail(w, http.StatusBadRequest, codeBadRequest, err.Error())
		return
	}
	out, err := c.deps.Replay(r.Context(), ask)
	switch {
	case errors.Is(err, ErrBusy):
		fail(w, http.StatusConflict, codeBusy, err.Error())
	case errors.Is(err, ErrAsk):
		fail(w, http.StatusBadRequest, codeBadRequest, err.Error())
	case err != nil:
		failStore(w, err)
	default:
		answer(w, out)
	}
}

// check tells what is wrong with the question, and settles its limit.
func (a *ReplayAsk) check() error {
	if a.Limit == 0 {
		a.Limit = defaultLetters
	}
	if a.Limit < 1 || a.Limit > maxLetters {
		return fmt.Errorf("limit: %d is not between 1 and %d", a.Limit, maxLetters)
	}
	if len(a.Letters) > maxLetters {
		return fmt.Errorf("letters: %d positions are more than %d: ask in parts, or choose by pipeline, reason or time", len(a.Letters), maxLetters)
	}
	for _, l := range a.Letters {
		if _, err := event.ParsePosition(l); err != nil {
			return fmt.Errorf("letters: %w", err)
		}
	}
	chosen := len(a.Letters) > 0 || a.Pipeline != "" || a.Reason != "" || !a.Since.IsZero()
	if chosen == a.All {
		return errors.New(`choose dead letters by "letters", "pipeline", "reason" or "since", or all of them by "all" alone`)
	}
	return nil
}

// DeadLetters is what the API answers about a choice: its numbers, and its newest letters, Truncated where there are more.
type DeadLetters struct {
	Summary   []DeadLetterCount `json:"summary"`
	Letters   []DeadLetter      `json:"letters"`
	Truncated bool              `json:"truncated,omitempty"`
}

// DeadLetter is a dead letter as the API tells of it.
type DeadLetter struct {
	Letter    string    `json:"letter"` // its position, topic/partition@offset
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Pipeline  string    `json:"pipeline"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail"`
	Time      time.Time `json:"time"`   // the record's own
	Stored    time.Time `json:"stored"` // when it was set aside
	KeySize   int64     `json:"key_size"`
	ValueSize int64     `json:"value_size"`
	KeyNull   bool      `json:"key_null,omitempty"`
	ValueNull bool      `json:"value_null,omitempty"`
	// Origin is the dead letter that this record was before it was sent again, topic/partition@offset and the pipelines.
	Origin string `json:"origin,omitempty"`
	// Sent counts the replays that sent it, InDoubt those that ended without saying whether they had; the rest tells of the last that did.
	Sent     int64     `json:"sent"`
	InDoubt  int64     `json:"in_doubt"`
	SentTo   string    `json:"sent_to,omitempty"`
	SentBy   string    `json:"sent_by,omitempty"`
	LastSent time.Time `json:"last_sent,omitzero"`
	// The beginnings of key and value as text, in a list.
	KeyText   string `json:"key_text,omitempty"`
	ValueText string `json:"value_text,omitempty"`
	// All bytes, base64, of one letter.
	Key     []byte             `json:"key,omitempty"`
	Value   []byte             `json:"value,omitempty"`
	Headers []DeadLetterHeader `json:"headers,omitempty"`
}

// DeadLetterHeader is one header; a key may come twice.
type DeadLetterHeader struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// letterOf reads the row of letterColumns.
func letterOf(r []any) DeadLetter {
	at := event.Position{Topic: asText(r[3]), Partition: int32(asInt(r[4])), Offset: asInt(r[5])}
	noKey, _ := r[8].(bool)
	noValue, _ := r[9].(bool)
	l := DeadLetter{Letter: at.String(), Topic: at.Topic, Partition: at.Partition, Offset: at.Offset, Pipeline: asText(r[0]), Reason: asText(r[1]), Detail: text(asText(r[2])),
		Time: time.UnixMilli(asInt(r[6])).UTC(), Stored: time.UnixMilli(asInt(r[7])).UTC(), KeyNull: noKey, ValueNull: noValue, KeySize: asInt(r[10]), ValueSize: asInt(r[11]),
		Origin: text(asText(r[12])), Sent: asInt(r[13]), InDoubt: asInt(r[14])}
	if l.Sent > 0 {
		l.SentTo = event.Position{Topic: asText(r[15]), Partition: int32(asInt(r[16])), Offset: asInt(r[17])}.String()
		l.SentBy, l.LastSent = asText(r[18]), time.UnixMicro(asInt(r[19])).UTC()
	}
	return l
}

// text is bytes as JSON can carry them.
func text(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// DeadLetterCount is what the API counts of one pipeline and reason.
type DeadLetterCount struct {
	Pipeline   string    `json:"pipeline"`
	Reason     string    `json:"reason"`
	Letters    int64     `json:"letters"`
	Sent       int64     `json:"sent"`
	InDoubt    int64     `json:"in_doubt"`
	Last       time.Time `json:"last"`
	LastDetail string    `json:"last_detail"`
}

// letters asks for a summary of the chosen dead letters, and for the newest of them.
func (h *history) letters(ctx context.Context, params map[string]string, limit int) (reasons []DeadLetterCount, newest []DeadLetter, more bool, err error) {
	reasons, newest = []DeadLetterCount{}, []DeadLetter{}
	t, err := h.query(ctx, lettersByReason, params, maxLetters)
	if err != nil {
		return nil, nil, false, err
	}
	for _, r := range t.Rows {
		reasons = append(reasons, DeadLetterCount{asText(r[0]), asText(r[1]), asInt(r[2]), asInt(r[3]), asInt(r[4]), time.UnixMilli(asInt(r[5])).UTC(), asText(r[6])})
	}
	params["limit"] = strconv.Itoa(limit + 1)
	if t, err = h.query(ctx, newestLetters, params, limit); err != nil {
		return nil, nil, false, err
	}
	for _, r := range t.Rows {
		l := letterOf(r)
		l.KeyText, l.ValueText = text(asText(r[20])), text(asText(r[21]))
		newest = append(newest, l)
	}
	return reasons, newest, t.Truncated, nil
}

// getLetters answers with the dead letters by pipeline and reason, and the newest ones.
func (c *Console) getLetters(w http.ResponseWriter, r *http.Request) {
	since, err := instant(r.FormValue("since"), 0)
	limit := defaultLetters
	if s := r.FormValue("limit"); s != "" {
		var bad error
		if limit, bad = strconv.Atoi(s); bad != nil || limit < 1 || limit > maxLetters {
			err = errors.Join(err, fmt.Errorf("limit: %q is not a number from 1 to %d", s, maxLetters))
		}
	}
	if err != nil {
		fail(w, http.StatusBadRequest, codeBadRequest, err.Error())
		return
	}
	reasons, newest, more, err := c.pages.letters(r.Context(), map[string]string{"pipeline": r.FormValue("pipeline"), "reason": r.FormValue("reason"),
		"since": strconv.FormatInt(max(since, 0), 10)}, limit)
	if err != nil {
		failStore(w, err)
		return
	}
	answer(w, DeadLetters{reasons, newest, more})
}

// getLetter answers with one record, whole, once for each pipeline that could not use it.
func (c *Console) getLetter(w http.ResponseWriter, r *http.Request) {
	at, err := event.ParsePosition(r.PathValue("topic") + "/" + r.PathValue("partition") + "@" + r.PathValue("offset"))
	if err != nil {
		fail(w, http.StatusBadRequest, codeBadRequest, err.Error())
		return
	}
	t, err := c.pages.query(r.Context(), wholeLetter, map[string]string{"topic": at.Topic, "partition": strconv.Itoa(int(at.Partition)), "offset": strconv.FormatInt(at.Offset, 10)}, maxLetters)
	if err != nil {
		failStore(w, err)
		return
	}
	if len(t.Rows) == 0 {
		fail(w, http.StatusNotFound, codeNotFound, fmt.Sprintf("%v is no dead letter, or is kept no longer (clickhouse.retention.dead_letters)", at))
		return
	}
	list := make([]DeadLetter, 0, len(t.Rows))
	for _, row := range t.Rows {
		l := letterOf(row)
		l.Key, l.Value = []byte(asText(row[20])), []byte(asText(row[21]))
		names, values := asList(row[22]), asList(row[23])
		for i, name := range names {
			l.Headers = append(l.Headers, DeadLetterHeader{text(asText(name)), []byte(asText(values[i]))})
		}
		list = append(list, l)
	}
	answer(w, list)
}

func asList(v any) []any {
	list, _ := v.([]any)
	return list
}
