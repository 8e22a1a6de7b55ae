package raft

// Message is one envelope between two members of one group. A message may be lost, delayed,
// repeated and reordered. Receivers treat it as read-only, entries included: the sender may share
// them with its log.
type Message struct {
	Cluster string
	Group   GroupID
	From    PeerID
	To      PeerID
	Term    Term // the sender's term; for a pre-vote request the term it would campaign in
	Body    Body
}

// Body is one of the message bodies below.
type Body interface{ body() }

// Bulk reports whether the message carries entries or chunks, or asks about entries that were sent
// before it. Transports keep bulk messages apart from the others, so that a vote or a heartbeat
// never waits behind them, and in order, so that the question does not come before the entries.
func (m *Message) Bulk() bool {
	switch m.Body.(type) {
	case *AppendEntries, *Propose:
		return true
	}
	return false
}

// RequestVote asks for a vote (§5.2) or, with Pre, whether a vote would be given (thesis §9.6).
//
// Transfer says that the leader asked for the candidacy, so that a voter that hears it is not to
// refuse for that reason (thesis §4.2.3).
type RequestVote struct {
	Pre      bool
	Transfer bool
	Last     LogID  // the candidate's last entry (§5.4.1)
	Addr     string // where the candidate is reached: the voter may not know it
	Origin   uint32 // of the candidate's configuration, see [Configuration]
}

// RequestVoteReply answers [RequestVote]. Asked is the term of the request, because a pre-vote is
// answered in the voter's own term.
type RequestVoteReply struct {
	Pre     bool
	Granted bool
	// Removed: the candidate is in no committed configuration that the voter knows, and that one is
	// newer than the candidate's log.
	Removed bool
	Asked   Term
}

// AppendEntries carries entries to a follower (§5.3), or with none asks whether Prev matches.
// Entries are in order, without gaps, and the first follows Prev.
type AppendEntries struct {
	Prev    LogID
	Commit  Index // the leader's commit index
	Entries []Entry
	Origin  uint32 // of the leader's configuration, see [Configuration]
}

// AppendEntriesReply answers [AppendEntries]. Without Reject the follower's durable log agrees with
// the leader's up to Match. With Reject the follower had no entry Prev; Hint is where to look next:
// no entry of the follower above Hint can agree with the leader's log.
type AppendEntriesReply struct {
	Reject bool
	Match  Index
	Prev   Index // of the request that is answered
	Hint   LogID
}

// Heartbeat says that the leader of Term lives, and asks for an answer (§5.2, §6.4). Round rises
// with every broadcast of a leader: an answer proves that the sender was the leader when it sent
// that round.
type Heartbeat struct {
	Round  uint64
	Commit Index // never above what this follower is known to hold
	// Addr is where the leader is reached, for a follower that has not answered for a while: one
	// that joins has no configuration that would tell. Else empty.
	Addr   string
	Origin uint32 // of the leader's configuration, see [Configuration]
}

// HeartbeatReply answers [Heartbeat]. Received is the last index that the leader of this term
// proved to the follower so far, durable or not: it tells a lost append from one that a slow disk
// holds up. Match is how far of that is durable, so that a lost answer to an append is made good.
type HeartbeatReply struct {
	Round    uint64
	Received Index
	Match    Index
}

// ReadIndex asks the leader for a read index (thesis §6.4). ID is fresh for every request.
type ReadIndex struct{ ID uint64 }

// ReadIndexReply answers [ReadIndex]. With Refused the receiver can't serve it: ask again later or
// elsewhere.
type ReadIndexReply struct {
	ID      uint64
	Index   Index
	Refused bool
}

// Propose forwards commands from a member to the leader of Term. A sender has one batch under way
// at a time and repeats it until it is answered: Sender is drawn anew at each start and Seq rises
// with each batch, by which the leader tells a repetition from a new batch.
type Propose struct {
	Sender   uint64
	Seq      uint64
	Commands []Command
}

// Command is one command on its way into the log.
type Command struct {
	Data       []byte
	ExpectTerm Term // 0: any; else the command is refused in every other term
	Restore    bool // it is a [RestoreChunk]: its entry is an [EntryRestore]
}

// ProposeReply answers [Propose]: command i stands at At[i] of the leader's log, or was refused
// where At[i] is the zero LogID, for the reason Refused[i].
type ProposeReply struct {
	Sender  uint64
	Seq     uint64
	At      []LogID
	Refused []Refusal
}

// Refusal is the reason why a forwarded command was not appended, as a number on the wire.
type Refusal uint8

// The reasons. The numbers are part of the wire format.
const (
	RefusedNot      Refusal = 0 // it was appended
	RefusedBusy     Refusal = 1
	RefusedTooLarge Refusal = 2
	RefusedTerm     Refusal = 3
	RefusedTransfer Refusal = 4

	refusalsEnd = 5
)

// Err returns the reason as the error that a proposer sees, nil for [RefusedNot].
func (r Refusal) Err() error {
	switch r {
	case RefusedNot:
		return nil
	case RefusedBusy:
		return ErrBusy
	case RefusedTooLarge:
		return ErrTooLarge
	case RefusedTransfer:
		return ErrTransferring
	}
	return ErrTermChanged
}

// RefusalOf is the inverse of [Refusal.Err]; an error that is none of the reasons counts as
// [RefusedBusy].
func RefusalOf(err error) Refusal {
	for r := RefusedNot; r < refusalsEnd; r++ {
		if r.Err() == err {
			return r
		}
	}
	return RefusedBusy
}

// Valid reports whether r is one of the reasons above.
func (r Refusal) Valid() bool { return r < refusalsEnd }

// InstallSnapshot names the snapshot that a follower needs (§7): the entries before it are gone.
// The follower fetches it by itself. It is repeated with every heartbeat until it is answered with
// Done.
type InstallSnapshot struct{ Meta SnapshotMeta }

// InstallSnapshotReply answers [InstallSnapshot]: how far the follower is with the snapshot that
// ends with Last. With Done it is durable, and so is everything up to Match of the leader's log.
// With Failed it can't be had any more: name another.
type InstallSnapshotReply struct {
	Last   LogID
	Bytes  int64 // that have arrived
	Done   bool
	Failed bool
	Match  Index
}

// TimeoutNow asks a follower to campaign at once: the leader hands leadership over to it (thesis
// §3.10). The follower has the leader's whole log by then.
type TimeoutNow struct{}

func (*TimeoutNow) body()           {}
func (*InstallSnapshot) body()      {}
func (*InstallSnapshotReply) body() {}
func (*RequestVote) body()          {}
func (*RequestVoteReply) body()     {}
func (*AppendEntries) body()        {}
func (*AppendEntriesReply) body()   {}
func (*Heartbeat) body()            {}
func (*HeartbeatReply) body()       {}
func (*ReadIndex) body()            {}
func (*ReadIndexReply) body()       {}
func (*Propose) body()              {}
func (*ProposeReply) body()         {}
