package node

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/internal/keeper"
	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
	"github.com/jraft-go/jraft/snapshot"
	"github.com/jraft-go/jraft/transport"
)

// Options describe one member. Zero fields take the default that is named with them. It corresponds
// to com.alipay.sofa.jraft.option.NodeOptions and RaftOptions.
type Options struct {
	ID      raft.PeerID  // required: who this member is, for ever
	Group   raft.GroupID // default "default"
	Cluster string       // peers of another cluster are refused
	// Dir is the data directory, created where missing; required unless both stores are given.
	Dir string

	// Peers are the group's first voters and Learners its first learners: the same lists on every
	// member. They are used only when the store holds nothing yet. Without any, a new member waits to
	// be added to a group.
	Peers    []raft.Peer
	Learners []raft.Peer

	StateMachine fsm.StateMachine    // required; used by this member alone
	Transport    transport.Transport // required; shared by groups, Stop does not close it

	// ElectionTimeout is how long a follower waits for a leader before it campaigns: between one and
	// two of these, drawn anew each time (§5.2). Default 1s.
	ElectionTimeout time.Duration
	// HeartbeatInterval is at most a third of ElectionTimeout; default a tenth of it.
	HeartbeatInterval time.Duration

	// MaxCommandBytes bounds one command; default 4 MiB. It must fit into a message of the Transport,
	// and so must Replication.BatchBytes: see [transport.Sizer]. Use the same on all members.
	MaxCommandBytes int
	// MaxPendingBytes is how much is accepted before it is applied, counting 25 bytes more than its
	// data for each command; beyond that, and beyond 262,144 commands, the answer is ErrBusy at once.
	// Default 64 MiB.
	MaxPendingBytes int64

	// Replication bounds what is under way to one follower.
	Replication replicator.Limits

	// Store keeps the log. It is used by this member alone, and stays the caller's to close, after
	// Stop. Default: segment files under Dir.
	Store logmanager.Store
	// Snapshots keeps the snapshots, likewise. Default: files under Dir.
	Snapshots snapshot.Store
	// Snapshot says when snapshots are taken and what is kept.
	Snapshot SnapshotPolicy
	// Logger gets role changes at level Info and failures at level Error. Default: nothing is logged.
	Logger *slog.Logger
}

const (
	minElectionTimeout = 10 * time.Millisecond
	defaultGroup       = raft.GroupID("default")
)

// withDefaults fills the fields that are zero, and sorts copies of the peer lists by id, so that
// the first configuration is the same bytes on every member.
func (o Options) withDefaults() Options {
	if o.Group == "" {
		o.Group = defaultGroup
	}
	if o.ElectionTimeout == 0 {
		o.ElectionTimeout = time.Second
	}
	if o.HeartbeatInterval == 0 {
		o.HeartbeatInterval = max(o.ElectionTimeout, minElectionTimeout) / 10
	}
	if o.MaxCommandBytes == 0 {
		o.MaxCommandBytes = 4 << 20
	}
	if o.MaxPendingBytes == 0 {
		o.MaxPendingBytes = max(64<<20, int64(o.MaxCommandBytes))
	}
	usual := replicator.Limits{}.WithDefaults()
	if o.Replication.WindowBytes == 0 {
		o.Replication.WindowBytes = max(usual.WindowBytes, o.MaxCommandBytes)
	}
	if o.Replication.BatchBytes == 0 {
		o.Replication.BatchBytes = min(usual.BatchBytes, o.Replication.WindowBytes)
	}
	o.Replication = o.Replication.WithDefaults()
	o.Snapshot = o.Snapshot.WithDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Peers, o.Learners = sorted(o.Peers), sorted(o.Learners)
	return o
}

func sorted(list []raft.Peer) []raft.Peer {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b raft.Peer) int { return cmp.Compare(a.ID, b.ID) })
	return list
}

// Validate tells every problem at once, each with the field, its value and what is allowed. Zero
// fields are judged by their defaults.
func (o Options) Validate() error {
	o = o.withDefaults()
	var errs []error
	bad := func(field string, value any, need string) {
		errs = append(errs, fmt.Errorf("node: Options.%s is %v, need %s", field, value, need))
	}
	errs = append(errs, o.validateIdentity(bad)...)
	if o.StateMachine == nil {
		bad("StateMachine", "nil", "a state machine")
	}
	if o.Transport == nil {
		bad("Transport", "nil", "a transport, for instance that of transport/grpctransport")
	}
	if o.Dir == "" && (o.Store == nil || o.Snapshots == nil) {
		bad("Dir", `""`, "a directory, or Store and Snapshots instead")
	}
	if o.ElectionTimeout < minElectionTimeout {
		bad("ElectionTimeout", o.ElectionTimeout, "at least "+minElectionTimeout.String())
	}
	if most := max(o.ElectionTimeout, minElectionTimeout) / 3; o.HeartbeatInterval <= 0 ||
		o.HeartbeatInterval > most {
		bad("HeartbeatInterval", o.HeartbeatInterval,
			fmt.Sprintf("more than 0 and at most a third of ElectionTimeout, %v", most))
	}
	if o.MaxCommandBytes < 1 || o.MaxCommandBytes > raft.MaxFrameData {
		bad("MaxCommandBytes", o.MaxCommandBytes, fmt.Sprintf("1 to %d", raft.MaxFrameData))
	}
	if least := max(o.MaxCommandBytes, 1); o.MaxPendingBytes < int64(least) {
		bad("MaxPendingBytes", o.MaxPendingBytes,
			fmt.Sprintf("at least MaxCommandBytes, %d", least))
	}
	o.validateReplication(bad)
	keeper.CheckPolicy(o.Snapshot, bad)
	o.validateMessages(bad)
	return errors.Join(errs...)
}

func (o *Options) validateIdentity(bad func(string, any, string)) (errs []error) {
	wrap := func(field string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("node: Options.%s: %w", field, err))
		}
	}
	wrap("ID", o.ID.Validate())
	wrap("Group", o.Group.Validate())
	wrap("Cluster", raft.ValidateCluster(o.Cluster))
	if len(o.Peers)+len(o.Learners) == 0 {
		return errs
	}
	first := o.firstConfiguration()
	wrap("Peers", first.Validate())
	if _, ok := first.Peer(o.ID); !ok {
		bad("Peers", first.String(), fmt.Sprintf(
			"member %q among them, or no Peers at all to wait until it is added to a group", o.ID))
	}
	return errs
}

func (o *Options) validateReplication(bad func(string, any, string)) {
	r := o.Replication
	if r.WindowMessages < 1 {
		bad("Replication.WindowMessages", r.WindowMessages, "at least 1")
	}
	if r.WindowBytes < o.MaxCommandBytes {
		bad("Replication.WindowBytes", r.WindowBytes,
			fmt.Sprintf("at least MaxCommandBytes, %d", o.MaxCommandBytes))
	}
	if r.BatchBytes < 1 || r.BatchBytes > r.WindowBytes {
		bad("Replication.BatchBytes", r.BatchBytes,
			fmt.Sprintf("1 to Replication.WindowBytes, %d", r.WindowBytes))
	}
}

// validateMessages sees to it that the transport carries the largest message: it would drop what is
// larger each time that it is sent, and with an entry the group would come to a halt.
func (o *Options) validateMessages(bad func(string, any, string)) {
	sizer, ok := o.Transport.(transport.Sizer)
	if !ok {
		return
	}
	need := func(room int) string {
		return fmt.Sprintf("at most %d: the largest message of Options.Transport has %d bytes "+
			"(MaxMessageBytes)", room, sizer.MaxMessageBytes())
	}
	room := sizer.MaxMessageBytes() - o.messageHeadBytes()
	if o.MaxCommandBytes > room-raft.FrameHead {
		bad("MaxCommandBytes", o.MaxCommandBytes, need(room-raft.FrameHead))
	}
	if o.Replication.BatchBytes > room {
		bad("Replication.BatchBytes", o.Replication.BatchBytes, need(room))
	}
}

// messageHeadBytes is the most that a message has besides the frames of its entries, whatever the
// ids of peers. One with forwarded commands has less around them.
func (o *Options) messageHeadBytes() int {
	return 2*raft.MaxIDBytes + transport.EncodedBytes(&raft.Message{
		Cluster: o.Cluster, Group: o.Group, Body: &raft.AppendEntries{Origin: 1},
	})
}

func (o *Options) member() transport.Member {
	return transport.Member{Cluster: o.Cluster, Group: o.Group, ID: o.ID}
}

func (o *Options) home(log *slog.Logger) keeper.Home {
	return keeper.Home{Dir: o.Dir, Member: o.member(), Keep: o.Snapshot.Keep, Logger: log}
}

func (o *Options) firstConfiguration() raft.Configuration {
	c := raft.Configuration{Index: 1, Voters: o.Peers, Learners: o.Learners}
	return raft.WithOrigin(c)
}

// maxPendingFrames is MaxPendingBytes, or as much as one command of the largest size takes: bytes
// are counted with the frames around commands.
func (o *Options) maxPendingFrames() int64 {
	return max(o.MaxPendingBytes, int64(raft.FrameHead+o.MaxCommandBytes))
}
