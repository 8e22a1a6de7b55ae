package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// client sends increments to the group and follows its leader. It has one increment under way
// at a time and repeats it, under the same sequence number, until it is acknowledged. Not for
// concurrent use.
type client struct {
	id      string
	seq     uint64   // of the last increment begun
	members []string // where all members are, as the newest configuration it heard of has it
	newest  uint64   // the index of that
	at      string   // the member that it takes for the leader
	silent  string   // the last one that did not answer; empty once another has acknowledged
	forward bool     // let a follower pass increments on, instead of following the leader
	http    *http.Client

	notAppended, unknown int // how often it had to retry, by what became of the attempt
}

const (
	attemptTimeout = 3 * time.Second // the longest wait for one answer
	firstBackoff   = time.Millisecond
	maxBackoff     = 10 * time.Millisecond // a failover takes a few of these, so no more is slept over
	maxAnswerBytes = 1 << 20
)

func newClient(id string, members []string, start int) *client {
	return &client{
		id: id, members: members, at: members[start%len(members)],
		http: &http.Client{Timeout: attemptTimeout, Transport: &http.Transport{}},
	}
}

// failure is a member's answer to an increment that it can't acknowledge.
type failure struct {
	Message    string `json:"error"`
	Outcome    string `json:"outcome"`               // outcomeNotAppended or outcomeUnknown
	Leader     string `json:"leader,omitempty"`      // whom to ask instead
	LeaderHTTP string `json:"leader_http,omitempty"` // and where
	Final      bool   `json:"final,omitempty"`       // to ask again gives the same answer
}

// The outcomes, after raft.Outcome.
const (
	outcomeNotAppended = "not appended" // it is not in the log and never will be
	outcomeUnknown     = "unknown"      // it may be applied, now or later
)

func (f *failure) Error() string { return f.Message }

// errRefused means that the state machine itself refused the increment: a retry would meet the
// same answer.
var errRefused = errors.New("increment refused")

// add sends the next increment and returns once it is acknowledged, refused, or ctx ends. After
// an unknown outcome a retry may put the increment into the log a second time; the state
// machine applies it once.
func (c *client) add(ctx context.Context, delta int64) (added, error) {
	c.seq++
	backoff := firstBackoff
	for {
		res, err := c.try(ctx, delta)
		if err == nil || errors.Is(err, errRefused) {
			c.silent = ""
			return res, err
		}
		c.learn(err)
		select {
		case <-time.After(backoff/2 + rand.N(backoff)): // not all clients at once
			backoff = min(2*backoff, maxBackoff)
		case <-ctx.Done():
			return added{}, fmt.Errorf("client %s: seq %d not acknowledged: %w (last error: %w)",
				c.id, c.seq, context.Cause(ctx), err)
		}
	}
}

// learn chooses whom to ask next: the leader that the answer names, else the next member in the
// list. The others may take one for the leader that has just died: it is not asked again for that.
func (c *client) learn(err error) {
	var f *failure
	var dial *net.OpError
	switch {
	case errors.As(err, &f):
		if f.Outcome == outcomeNotAppended {
			c.notAppended++
		} else {
			c.unknown++
		}
		if f.LeaderHTTP != "" && f.LeaderHTTP != c.silent {
			c.at = f.LeaderHTTP
			return
		}
	case errors.As(err, &dial) && dial.Op == "dial":
		c.notAppended++ // nobody there: it was not even sent
		c.silent = c.at
	default:
		c.unknown++ // no answer: the member may have appended it before it died
		c.silent = c.at
	}
	c.at = c.members[(slices.Index(c.members, c.at)+1)%len(c.members)]
}

// meet takes the members from the header of an answer, if they are newer than those it knows.
func (c *client) meet(h http.Header) {
	index, list, _ := strings.Cut(h.Get(membersHeader), " ")
	if n, err := strconv.ParseUint(index, 10, 64); err == nil && n > c.newest && list != "" {
		c.newest, c.members = n, strings.Fields(list)
	}
}

// try makes one attempt.
func (c *client) try(ctx context.Context, delta int64) (added, error) {
	q := url.Values{
		"client": {c.id},
		"seq":    {strconv.FormatUint(c.seq, 10)},
		"delta":  {strconv.FormatInt(delta, 10)},
	}
	if c.forward {
		q.Set("forward", "1")
	}
	var res added
	h, err := call(ctx, c.http, http.MethodPost, "http://"+c.at+"/add?"+q.Encode(), &res)
	c.meet(h)
	if err == nil && res.Refused != "" {
		return res, fmt.Errorf("%w: client %s: %s", errRefused, c.id, res.Refused)
	}
	return res, err
}

// call makes one HTTP request and decodes the JSON answer: into out, or into the *failure that
// it returns.
func call(ctx context.Context, hc *http.Client, method, to string, out any) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, nil)
	if err != nil {
		return nil, err
	}
	resp, err := hc.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Header, json.Unmarshal(body, out)
	}
	f := &failure{}
	if err := json.Unmarshal(body, f); err != nil {
		return nil, fmt.Errorf("%s: %s", to, resp.Status)
	}
	return resp.Header, f
}
