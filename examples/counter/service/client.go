package service

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

// Client sends increments to the group and follows its leader. It has one increment under way
// at a time and repeats it, under the same sequence number, until it is acknowledged. Not for
// concurrent use.
type Client struct {
	ID      string
	Seq     uint64   // of the last increment begun
	members []string // where all members are, as the newest configuration it heard of has it
	newest  uint64   // the index of that
	At      string   // the member that it takes for the leader
	silent  string   // the last one that did not answer; empty once another has acknowledged
	Forward bool     // let a follower pass increments on, instead of following the leader
	HTTP    *http.Client

	NotAppended, Unknown int // how often it had to retry, by what became of the attempt
}

const (
	AttemptTimeout = 3 * time.Second // the longest wait for one answer
	firstBackoff   = time.Millisecond
	maxBackoff     = 10 * time.Millisecond // a failover takes a few of these, so no more is slept over
	maxAnswerBytes = 1 << 20
)

// NewClient returns a client that begins with the member at the given place in the list. Nobody
// else may have its id.
func NewClient(id string, members []string, start int) *Client {
	return &Client{
		ID: id, members: members, At: members[start%len(members)],
		HTTP: &http.Client{Timeout: AttemptTimeout, Transport: &http.Transport{}},
	}
}

// Failure is a member's answer to an increment that it can't acknowledge.
type Failure struct {
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

// Error implements error.
func (f *Failure) Error() string { return f.Message }

// errRefused means that the state machine itself refused the increment: a retry would meet the
// same answer.
var errRefused = errors.New("increment refused")

// Add sends the next increment and returns once it is acknowledged, refused, or ctx ends. After
// an unknown outcome a retry may put the increment into the log a second time; the state
// machine applies it once.
func (c *Client) Add(ctx context.Context, delta int64) (Added, error) {
	c.Seq++
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
			return Added{}, fmt.Errorf("client %s: seq %d not acknowledged: %w (last error: %w)",
				c.ID, c.Seq, context.Cause(ctx), err)
		}
	}
}

// learn chooses whom to ask next: the leader that the answer names, else the next member in the
// list. The others may take one for the leader that has just died: it is not asked again for that.
func (c *Client) learn(err error) {
	var f *Failure
	var dial *net.OpError
	switch {
	case errors.As(err, &f):
		if f.Outcome == outcomeNotAppended {
			c.NotAppended++
		} else {
			c.Unknown++
		}
		if f.LeaderHTTP != "" && f.LeaderHTTP != c.silent {
			c.At = f.LeaderHTTP
			return
		}
	case errors.As(err, &dial) && dial.Op == "dial":
		c.NotAppended++ // nobody there: it was not even sent
		c.silent = c.At
	default:
		c.Unknown++ // no answer: the member may have appended it before it died
		c.silent = c.At
	}
	c.At = c.members[(slices.Index(c.members, c.At)+1)%len(c.members)]
}

// meet takes the members from the header of an answer, if they are newer than those it knows.
func (c *Client) meet(h http.Header) {
	index, list, _ := strings.Cut(h.Get(membersHeader), " ")
	if n, err := strconv.ParseUint(index, 10, 64); err == nil && n > c.newest && list != "" {
		c.newest, c.members = n, strings.Fields(list)
	}
}

// try makes one attempt.
func (c *Client) try(ctx context.Context, delta int64) (Added, error) {
	q := url.Values{
		"client": {c.ID},
		"seq":    {strconv.FormatUint(c.Seq, 10)},
		"delta":  {strconv.FormatInt(delta, 10)},
	}
	if c.Forward {
		q.Set("forward", "1")
	}
	var res Added
	h, err := call(ctx, c.HTTP, http.MethodPost, "http://"+c.At+"/add?"+q.Encode(), &res)
	c.meet(h)
	if err == nil && res.Refused != "" {
		return res, fmt.Errorf("%w: client %s: %s", errRefused, c.ID, res.Refused)
	}
	return res, err
}

// Call makes one HTTP request and decodes the JSON answer: into out, or into the *Failure that it
// returns.
func Call(ctx context.Context, hc *http.Client, method, to string, out any) error {
	_, err := call(ctx, hc, method, to, out)
	return err
}

// call returns the headers, too.
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
	f := &Failure{}
	if err := json.Unmarshal(body, f); err != nil {
		return nil, fmt.Errorf("%s: %s", to, resp.Status)
	}
	return resp.Header, f
}
