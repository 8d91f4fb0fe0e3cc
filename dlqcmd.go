package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"andon/console"
	"andon/event"
)

type dlqCommand struct {
	List   dlqList   `cmd:"" help:"Count dead letters by pipeline and reason, and list the newest."`
	Show   dlqShow   `cmd:"" help:"Show one dead letter, whole."`
	Replay dlqReplay `cmd:"" help:"Send dead letters again, as they were, to their own topic or another."`
}

type dlqList struct {
	appliance
	Pipeline string        `help:"Only this pipeline's."`
	Reason   string        `help:"Only of this reason: malformed, late, future, ancient or refused."`
	Since    time.Duration `help:"Only those set aside within this time, as 24h." placeholder:"DURATION"`
	Limit    int           `help:"Letters to list at most, 1 to 1000." default:"20"`
	JSON     bool          `name:"json" help:"Print the answer as JSON."`
}

func (c *dlqList) Run(t *talk) error {
	base, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	q := url.Values{"pipeline": {c.Pipeline}, "reason": {c.Reason}, "limit": {strconv.Itoa(c.Limit)}}
	if c.Since > 0 {
		q.Set("since", strconv.FormatInt(time.Now().Add(-c.Since).UnixMilli(), 10))
	}
	var all console.DeadLetters
	if err := call(t.ctx, "GET", base+"/api/v1/deadletters?"+q.Encode(), nil, &all); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(&all)
	}
	if len(all.Summary) == 0 {
		fmt.Fprintln(t.err, "there are no dead letters")
		return nil
	}
	sums := &event.Table{Columns: []string{"pipeline", "reason", "letters", "sent again", "in doubt", "last", "last detail"}}
	for _, s := range all.Summary {
		sums.Rows = append(sums.Rows, []any{s.Pipeline, s.Reason, s.Letters, s.Sent, s.InDoubt, s.Last.Format(time.DateTime), s.LastDetail})
	}
	if err := printTable(t.out, sums); err != nil {
		return err
	}
	list := &event.Table{Columns: []string{"letter", "pipeline", "reason", "set aside", "key", "bytes", "sent again", "was", "detail"}}
	for _, l := range all.Letters {
		key := clipped(l.KeyText, 32)
		if l.KeyNull {
			key = "NULL"
		}
		list.Rows = append(list.Rows, []any{l.Letter, l.Pipeline, l.Reason, l.Stored.Format(time.DateTime), key, l.KeySize + l.ValueSize, sentAgain(&l), was(&l), clipped(l.Detail, 120)})
	}
	fmt.Fprintln(t.out)
	if err := printTable(t.out, list); err != nil {
		return err
	}
	if all.Truncated {
		fmt.Fprintf(t.err, "the newest %d; --limit shows more\n", len(all.Letters))
	}
	return nil
}

// sentAgain tells where a letter went.
func sentAgain(l *console.DeadLetter) string {
	s := "no"
	if l.Sent > 0 {
		s = l.SentTo
	}
	if l.Sent > 1 {
		s += fmt.Sprintf(" (%d times)", l.Sent)
	}
	if l.InDoubt > 0 {
		s += ", in doubt"
	}
	return s
}

// was tells which letter a record was before it was sent again.
func was(l *console.DeadLetter) string {
	from, _, _ := strings.Cut(l.Origin, " ")
	return from
}

func clipped(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

type dlqShow struct {
	appliance
	Letter   string `arg:"" help:"The letter's place, topic/partition@offset."`
	Pipeline string `help:"The pipeline, where several could not use the record."`
	Raw      bool   `help:"Write the bytes of the value, and nothing else."`
	JSON     bool   `name:"json" help:"Print JSON; key, value and headers are base64."`
}

func (c *dlqShow) Run(t *talk) error {
	at, err := event.ParsePosition(c.Letter)
	if err != nil {
		return usage(err)
	}
	base, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	var all []console.DeadLetter
	if err := call(t.ctx, "GET", fmt.Sprintf("%s/api/v1/deadletters/%s/%d/%d", base, url.PathEscape(at.Topic), at.Partition, at.Offset), nil, &all); err != nil {
		return err
	}
	if c.Pipeline != "" {
		var of []console.DeadLetter
		for _, l := range all {
			if l.Pipeline == c.Pipeline {
				of = append(of, l)
			}
		}
		if len(of) == 0 {
			return fmt.Errorf("%v is a dead letter of %s, not of %s", at, all[0].Pipeline, c.Pipeline)
		}
		all = of
	}
	if c.Raw { // one record, whoever could not use it
		_, err := t.out.Write(all[0].Value)
		return err
	}
	if c.JSON {
		return json.NewEncoder(t.out).Encode(all)
	}
	for i := range all {
		if i > 0 {
			fmt.Fprintln(t.out)
		}
		showLetter(t, &all[i])
	}
	return nil
}

func showLetter(t *talk, l *console.DeadLetter) {
	line := func(name, value string) { fmt.Fprintf(t.out, "%-11s %s\n", name, value) }
	line("letter", l.Letter)
	line("pipeline", l.Pipeline)
	line("reason", l.Reason)
	line("detail", printable(l.Detail))
	line("timestamp", l.Time.Format(time.RFC3339Nano))
	line("set aside", l.Stored.Format(time.RFC3339Nano))
	if l.Origin != "" {
		line("was", printable(l.Origin))
	}
	sent := sentAgain(l)
	if l.Sent > 0 {
		sent += fmt.Sprintf(", %s by %s", l.LastSent.Format(time.RFC3339), printable(l.SentBy))
	}
	line("sent again", sent)
	line("key", shown(l.Key, l.KeyNull))
	for _, h := range l.Headers {
		line("header", printable(h.Key)+" = "+shown(h.Value, false))
	}
	if l.ValueNull {
		line("value", "NULL")
		return
	}
	line("value", fmt.Sprintf("%d bytes", len(l.Value)))
	if plainText(l.Value) {
		fmt.Fprintln(t.out, string(l.Value))
	} else {
		fmt.Fprint(t.out, hex.Dump(l.Value))
	}
}

// shown writes bytes on one line: text as it is, others as hexadecimal digits.
func shown(b []byte, null bool) string {
	switch {
	case null:
		return "NULL"
	case utf8.Valid(b):
		return printable(string(b))
	}
	return "0x" + hex.EncodeToString(b)
}

// plainText reports whether bytes can be shown on a terminal as they are.
func plainText(b []byte) bool {
	return utf8.Valid(b) && strings.IndexFunc(string(b), func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' && r != '\r' }) < 0
}

type dlqReplay struct {
	appliance
	Letters  []string      `arg:"" optional:"" help:"Their places, topic/partition@offset."`
	Pipeline string        `help:"This pipeline's."`
	Reason   string        `help:"Of this reason: malformed, late, future, ancient or refused."`
	Since    time.Duration `help:"Set aside within this time, as 24h." placeholder:"DURATION"`
	All      bool          `help:"All of them."`
	To       string        `help:"Send to this topic; without it to each letter's own." placeholder:"TOPIC"`
	Limit    int           `help:"Letters to send at most; 0 is no bound." default:"0"`
	DryRun   bool          `help:"Only tell what would be sent."`
	Again    bool          `help:"Also those that were sent before, or may have been."`
	JSON     bool          `name:"json" help:"Print a line of JSON for each letter."`
}

// replayCall is how many letters one call to the appliance sends.
const replayCall = 500

func (c *dlqReplay) Run(t *talk) error {
	ask := console.ReplayAsk{Letters: c.Letters, Pipeline: c.Pipeline, Reason: c.Reason, All: c.All, To: c.To, DryRun: c.DryRun, Again: c.Again, Who: me()}
	if c.Since > 0 {
		ask.Since = time.Now().Add(-c.Since).UTC()
	}
	for _, l := range c.Letters {
		if _, err := event.ParsePosition(l); err != nil {
			return usage(err)
		}
	}
	if chosen := len(c.Letters) > 0 || c.Pipeline != "" || c.Reason != "" || c.Since > 0; chosen == c.All || c.Limit < 0 {
		return usage(fmt.Errorf("choose dead letters by their places, --pipeline, --reason or --since, or all of them by --all alone; --limit is not negative"))
	}
	base, err := findAppliance(c.Data, c.URL)
	if err != nil {
		return err
	}
	states := map[string]int{}
	for left := c.Limit; ; {
		ask.Limit = replayCall
		if c.Limit > 0 {
			ask.Limit = min(replayCall, left)
		}
		var did console.ReplayAnswer
		if err := call(t.ctx, "POST", base+"/api/v1/deadletters/replay", &ask, &did); err != nil {
			return err
		}
		if ask.After == "" {
			tellChosen(t, &did, c.Again)
		}
		for _, l := range did.Letters {
			states[l.State]++
			if err := c.tell(t, &l); err != nil {
				return err
			}
		}
		left -= len(did.Letters)
		if did.Next == "" || c.Limit > 0 && left <= 0 {
			break
		}
		ask.After = did.Next
	}
	if c.DryRun {
		fmt.Fprintf(t.err, "%d would be sent\n", states["to send"])
		return nil
	}
	fmt.Fprintf(t.err, "%d sent", states[stateSent])
	for _, s := range []string{stateFailed, stateYielded, stateInDoubt} {
		if states[s] > 0 {
			fmt.Fprintf(t.err, ", %d %s", states[s], s)
		}
	}
	fmt.Fprintln(t.err)
	if states[stateFailed]+states[stateYielded]+states[stateInDoubt] > 0 {
		return errSaid
	}
	return nil
}

func tellChosen(t *talk, did *console.ReplayAnswer, again bool) {
	fmt.Fprintf(t.err, "%d chosen", did.Chosen)
	if did.Before > 0 {
		fmt.Fprintf(t.err, "; %d were sent before and are left out, --again sends them once more", did.Before)
	}
	if did.InDoubt > 0 {
		fmt.Fprintf(t.err, "; %d are in doubt, since a replay of them was cut off: look for their header andon.replayed-from, or send them with --again", did.InDoubt)
	}
	fmt.Fprintln(t.err)
}

func (c *dlqReplay) tell(t *talk, l *console.ReplayedLetter) error {
	if c.JSON {
		return json.NewEncoder(t.out).Encode(l)
	}
	line := fmt.Sprintf("%s → %s  %s %s: %s", l.From, l.To, strings.Join(l.Pipelines, ","), strings.Join(l.Reasons, ","), l.State)
	if l.Detail != "" {
		line += ": " + printable(l.Detail)
	}
	_, err := fmt.Fprintln(t.out, line)
	return err
}

// me is who asks, for the memory of replays.
func me() string {
	name := "andon"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		name += "@" + host
	}
	return name
}
