package record

import (
	"fmt"
	"strings"
	"time"

	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
)

// note is one event of a run: kept as numbers, because few are ever printed.
type note struct {
	at     time.Duration
	member int
	what   string
	nums   [6]uint64
	count  int
}

const traceKept = 60

// Trace keeps the last events of a run and a hash of all of them. Two runs are the same if the
// hashes are.
type Trace struct {
	ring [traceKept]note
	n    int
	Hash uint64
	Log  func(string)
}

// Note adds an event.
func (t *Trace) Note(at time.Duration, member int, what string, nums ...uint64) {
	x := note{at: at, member: member, what: what, count: len(nums)}
	copy(x.nums[:], nums)
	h := witness.Mix(t.Hash ^ uint64(at))
	h = witness.Mix(h ^ uint64(member)<<32 ^ uint64(len(what))<<40)
	for i := range len(what) {
		h = (h ^ uint64(what[i])) * 0x100000001b3
	}
	for _, v := range nums {
		h = witness.Mix(h ^ v)
	}
	t.Hash = h
	t.ring[t.n%traceKept] = x
	t.n++
	if t.Log != nil {
		t.Log(x.String())
	}
}

// String is the event in one line.
func (x *note) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%12.6f m%d %-22s", x.at.Seconds(), x.member, x.what)
	for _, v := range x.nums[:x.count] {
		fmt.Fprintf(&b, " %d", v)
	}
	return b.String()
}

// Last returns the kept events, oldest first.
func (t *Trace) Last() []string {
	var lines []string
	for i := max(0, t.n-traceKept); i < t.n; i++ {
		lines = append(lines, t.ring[i%traceKept].String())
	}
	return lines
}

// Describe returns a message's kind and the numbers worth a line: peer, term, and what the body
// carries.
func Describe(m *raft.Message, peer int) (string, []uint64) {
	n := []uint64{uint64(peer), uint64(m.Term)}
	switch b := m.Body.(type) {
	case *raft.RequestVote:
		return pre("vote?", b.Pre), append(n, uint64(b.Last.Term), uint64(b.Last.Index))
	case *raft.RequestVoteReply:
		return pre("vote!", b.Pre), append(n, uint64(b.Asked), Bit(b.Granted))
	case *raft.AppendEntries:
		return "append?", append(n, uint64(b.Prev.Term), uint64(b.Prev.Index), uint64(len(b.Entries)),
			uint64(b.Commit))
	case *raft.AppendEntriesReply:
		return "append!", append(n, Bit(!b.Reject), uint64(b.Match), uint64(b.Prev), uint64(b.Hint.Index))
	case *raft.Heartbeat:
		return "beat?", append(n, b.Round, uint64(b.Commit))
	case *raft.HeartbeatReply:
		return "beat!", append(n, b.Round, uint64(b.Received))
	case *raft.InstallSnapshot:
		return "install?", append(n, uint64(b.Meta.Last.Term), uint64(b.Meta.Last.Index))
	case *raft.InstallSnapshotReply:
		return "install!", append(n, uint64(b.Last.Index), uint64(b.Bytes), Bit(b.Done)+2*Bit(b.Failed),
			uint64(b.Match))
	case *raft.ReadIndex:
		return "read?", append(n, b.ID)
	case *raft.ReadIndexReply:
		return "read!", append(n, b.ID, uint64(b.Index), Bit(b.Refused))
	case *raft.Propose:
		return "propose?", append(n, b.Seq, uint64(len(b.Commands)))
	case *raft.ProposeReply:
		return "propose!", append(n, b.Seq, uint64(len(b.At)))
	}
	return "message", n
}

func pre(s string, yes bool) string {
	if yes {
		return "pre-" + s
	}
	return s
}

// Bit is 1 for true.
func Bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
