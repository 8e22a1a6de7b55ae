package swarm

import (
	"time"

	"github.com/jraft-go/jraft/internal/core"
	"github.com/jraft-go/jraft/internal/sim/witness"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/replicator"
)

// Group is the one that all members are of.
const Group = raft.GroupID("g")

// Class is a kind of fault.
type Class uint8

// The kinds of fault. A batch of seeds in which one never fired proves nothing about it (I35).
const (
	Drop         Class = iota // a message is lost
	Duplicate                 // a message arrives twice
	Delay                     // a message is late by up to seconds
	Reorder                   // a message overtakes an earlier one of its link
	OneWay                    // a link is cut in one direction
	Partition                 // two sides cannot talk
	Bridge                    // two sides share one member
	Isolate                   // the leader is cut off: both ways, only in, or only out
	Crash                     // a member loses power; what was not synced is lost, torn or kept
	Kill                      // a member's process dies; what it wrote stays, synced or not
	CrashInWrite              // power loss while a write is under way
	CrashInBoot               // power loss while the store is being opened
	CrashAll                  // every member loses power at once
	Storm                     // one member crashes again and again
	Pause                     // a member stands still, then finds its clock advanced
	SlowWrite                 // a write takes up to a second
	Stall                     // a write takes 1 to 20 election timeouts
	WriteError                // a write fails: the member must stop
	SlowApply                 // applying takes long
	// With snapshots only:
	Corrupt         // a byte of a piece of a snapshot, or of the request for it, is changed on its way
	WrongReply      // the reply is the one to another request
	SnapshotError   // an operation of the file system fails while a snapshot is taken or fetched
	Damage          // a bit of a snapshot on disk is inverted, while its member is down
	Lag             // a member is cut off long enough to need a snapshot
	Snap            // a member takes a snapshot out of turn
	Compact         // a member compacts its log out of turn
	CrashInSnapshot // power loss while a snapshot is taken, fetched, published, or removed
	Restore         // the group gets the state of a backup that is a little old
	BadBackup       // that one is damaged, and nobody has looked
	// With or without:
	Break   // a connection ends although both sides live
	Noticed // a process dies, and its peers see their connections end
	Classes
)

// String returns the class in words.
func (c Class) String() string {
	return [...]string{"drop", "duplicate", "delay", "reorder", "one-way", "partition", "bridge",
		"isolate",
		"crash", "kill", "crash-in-write", "crash-in-boot", "crash-all", "storm", "pause", "slow-write",
		"stall",
		"write-error", "slow-apply", "corrupt", "wrong-reply", "snapshot-error", "damage", "lag",
		"snap", "compact", "crash-in-snapshot", "restore", "bad-backup",
		"break", "noticed"}[c]
}

// Swarm is what one seed draws before its run: which faults are possible and how strong, how
// large the cluster is, how tight its limits are. Constant fault rates miss what swarms find
// (reliability report 5.3).
type Swarm struct {
	Members   int // of the first configuration
	Clients   int
	Keys      int
	Length    time.Duration // of the safety phase
	Election  time.Duration
	Heartbeat time.Duration

	On   [Classes]bool
	Rate [Classes]float64       // per decision, for faults of single messages and writes
	Gap  [Classes]time.Duration // mean time between episodes, for the others
	Span [Classes]time.Duration // longest duration of an episode or of one delay

	// LinkBytesPerSecond bounds what a link carries in a direction; 0: nothing does. What would
	// wait behind more than LinkQueueBytes is dropped.
	LinkBytesPerSecond int
	LinkQueueBytes     int

	LinkDelay   time.Duration // mean
	SendDelay   time.Duration // longest time between an output and its messages leaving
	WriteTime   time.Duration // mean
	ApplyTime   time.Duration // mean
	FetchTime   time.Duration // mean
	RestartTime time.Duration // longest
	Linger      float64       // chance that an output is not taken right after an input
	CutInFlight bool          // a cut also loses what is on its way
	Prepare     float64       // chance, after a write, that a spare segment is prepared

	SegmentBytes int
	ThinkTime    time.Duration // mean time between a client's operations
	Patience     time.Duration // a client waits that long for an outcome
	ReadShare    float64
	Burst        int // most commands in one proposal call
	ValueBytes   int
	FollowLeader float64
	Watcher      bool // the first client only reads, without patience, from whoever believes to lead
	SameJitter   bool // two members draw the same election timeouts

	Snapshots    bool          // whether any are taken
	Every        int           // entries between two of a member, on average; 0: only out of turn
	Keep         int           // how many a member keeps
	SnapshotTime time.Duration // mean, of one step
	Haste        float64       // how much faster the snapshots' clock runs
	Fetches      int           // requests under way to a source
	Padding      int           // bytes that make a snapshot larger than its state
	Audits       float64       // chance of a look at what a power loss would leave

	Membership Membership

	Limits core.Options
}

// Draw returns the swarm of a seed.
func Draw(seed uint64) Swarm {
	r := NewStream(seed, 1)
	w := Swarm{Members: [...]int{1, 2, 3, 3, 3, 3, 3, 3, 4, 5, 5, 5, 5, 5, 7, 7}[r.Pick(16)]}
	w.Clients = r.Number(1, 6)
	w.Keys = r.Number(1, 6)
	w.Length = r.Between(4*time.Second, 9*time.Second)
	w.Election = r.Between(80*time.Millisecond, 400*time.Millisecond)
	w.Heartbeat = w.Election / time.Duration(3+r.Pick(8))
	w.drawFaults(r)
	w.drawPace(r)
	w.drawLinks(NewStream(seed, 4))
	w.drawLimits(r)
	w.drawSnapshots(NewStream(seed, 2))
	w.drawRestores(NewStream(seed, 3))
	w.drawMembership(NewStream(seed, 5))
	return w
}

// firstSnapshotFault is the first class that makes sense only with snapshots.
const firstSnapshotFault = Corrupt

func (w *Swarm) drawFaults(r *Stream) {
	quiet := r.Chance(0.04)
	for c := range firstSnapshotFault {
		on := r.Chance(0.4)
		w.On[c] = on && !quiet
		w.Rate[c] = r.rate(0.001, 0.2)
		w.Gap[c] = r.Between(2*w.Election, 20*w.Election)
		w.Span[c] = r.Between(w.Election/2, 12*w.Election)
	}
	w.Rate[Duplicate] = r.rate(0.002, 0.5)
	w.On[Isolate] = r.Chance(0.6) && !quiet
	w.Span[Delay] = r.Between(w.Election/2, 3*time.Second)
	w.Span[SlowWrite] = r.Between(time.Millisecond, time.Second)
	w.Span[SlowApply] = r.Between(time.Millisecond, time.Second)
	w.Rate[Stall] /= 8
	w.Rate[WriteError] /= 16
	w.Rate[CrashInBoot] *= 3
	w.Gap[CrashAll] *= 3
	w.Gap[Storm] *= 2
}

func (w *Swarm) drawPace(r *Stream) {
	w.LinkDelay = r.Between(50*time.Microsecond, w.Election/8)
	w.SendDelay = r.Between(time.Microsecond, w.Heartbeat/4)
	w.WriteTime = r.Between(50*time.Microsecond, w.Election/6)
	w.ApplyTime = r.Between(5*time.Microsecond, 5*time.Millisecond)
	w.FetchTime = r.Between(50*time.Microsecond, 20*time.Millisecond)
	w.RestartTime = r.Between(5*time.Millisecond, 8*w.Election)
	w.Linger = []float64{0, 0, 0.1, 0.6}[r.Pick(4)]
	w.CutInFlight = r.Chance(0.5)
	w.Prepare = []float64{0, 0.1, 0.6, 1}[r.Pick(4)]
	w.ThinkTime = r.Between(3*time.Millisecond, 150*time.Millisecond)
	w.Patience = r.Between(w.Election, 12*w.Election)
	w.ReadShare = r.rate(0.1, 0.8)
	w.Burst = r.Number(1, 12)
	w.ValueBytes = r.Number(1, 600)
	w.FollowLeader = r.Unit()
	w.Watcher = r.Chance(0.6)
	w.SameJitter = r.Chance(0.2)
}

// drawLimits makes each limit tight in one seed out of three, so that every edge of a window is
// met.
func (w *Swarm) drawLimits(r *Stream) {
	limit := func(tight, loose int) int {
		n, narrow := r.Number(1, tight), r.Chance(0.33)
		if narrow {
			return n
		}
		return loose
	}
	w.SegmentBytes = r.Number(4096, 64<<10)
	w.Limits = core.Options{
		Cluster:           "sim",
		Group:             Group,
		ElectionTimeout:   w.Election,
		HeartbeatInterval: w.Heartbeat,
		Replication: replicator.Limits{
			WindowMessages: limit(8, 64),
			WindowBytes:    limit(4096, 1<<20),
			BatchBytes:     limit(2048, 64<<10),
		},
		MaxCommandBytes: max(w.ValueBytes+witness.CommandHead-limit(40, 0), witness.CommandHead),
		MaxPendingBytes: int64(max(limit(8<<10, 1<<20), 4*(w.ValueBytes+100))),
		MaxApplyBytes:   limit(2048, 1<<20),
		MaxPendingReads: limit(4, 1000),
		CacheBytes:      limit(2048, 1<<20),
	}
	if w.LinkBytesPerSecond > 0 { // a message takes no longer than eight heartbeats
		batch := &w.Limits.Replication.BatchBytes
		*batch = min(*batch, 8*int(float64(w.LinkBytesPerSecond)*w.Heartbeat.Seconds()))
	}
}

// drawSnapshots has a stream of its own: seeds are what they were before there were snapshots.
func (w *Swarm) drawSnapshots(r *Stream) {
	quiet := w.On == [Classes]bool{}
	w.Snapshots = r.Chance(0.75)
	for c := firstSnapshotFault; c <= CrashInSnapshot; c++ {
		on := r.Chance(0.6)
		w.On[c] = on && !quiet && w.Snapshots
		w.Rate[c] = r.rate(0.002, 0.1)
		w.Gap[c] = r.Between(2*w.Election, 20*w.Election)
		w.Span[c] = w.Election
	}
	w.Rate[Corrupt], w.Rate[WrongReply] = r.rate(0.02, 0.3), r.rate(0.02, 0.3)
	w.Rate[Damage] = r.rate(0.02, 0.5)
	w.Gap[Lag] = r.Between(2*w.Election, 12*w.Election)
	w.Span[Lag] = r.Between(6*w.Election, 30*w.Election)
	w.Every = r.Number(4, 120)
	if never := r.Chance(0.1); never || !w.Snapshots {
		w.Every = 0
	}
	w.Keep = 1 + r.Pick(3)
	w.SnapshotTime = r.Between(20*time.Microsecond, w.Election/4)
	w.Haste = r.rate(1, 2000)
	w.Fetches = 1 + r.Pick(4)
	if large := r.Chance(0.1); large && w.Every >= 30 {
		w.Padding = 5 << 19
	}
	w.Audits = 0.05
	trailing, tiny := r.Pick(51), r.Chance(0.7)
	if none := r.Chance(0.6); none {
		trailing = 0
	}
	w.Limits.TrailingEntries = trailing
	if w.Snapshots && tiny {
		w.SegmentBytes = r.Number(2048, 8192)
	}
}

// drawRestores has a stream of its own, too. A piece of a backup must fit into an entry, and some
// do in the seeds whose commands are large enough, or are made so.
func (w *Swarm) drawRestores(r *Stream) {
	quiet := w.On == [Classes]bool{}
	on, bad, room := r.Chance(0.5), r.Chance(0.5), r.Number(80, 300)
	w.On[Restore] = on && w.Snapshots && !quiet && w.Padding == 0
	w.On[BadBackup] = w.On[Restore] && bad
	w.Gap[Restore] = r.Between(3*w.Election, 20*w.Election)
	w.Span[Restore] = r.Between(w.Election, 8*w.Election)
	w.Rate[BadBackup] = r.rate(0.1, 0.6)
	if w.On[Restore] {
		w.Limits.MaxCommandBytes = max(w.Limits.MaxCommandBytes, room)
	}
}

// drawLinks makes the links of one seed out of eight slow, and its clients busy enough to fill
// them: the slowest carry four heartbeats in the time of one. Some queues hold less than a window,
// so that messages are lost; some so much that messages are late and seem lost.
func (w *Swarm) drawLinks(r *Stream) {
	slow, faster, queue := r.Chance(0.12), r.Unit(), r.Unit()
	if !slow {
		return
	}
	inHeartbeat := Spread(faster, 4*heartbeatBytes, 24*heartbeatBytes)
	w.LinkBytesPerSecond = int(inHeartbeat / w.Heartbeat.Seconds())
	w.LinkQueueBytes = int(Spread(queue, inHeartbeat, 16*inHeartbeat))
	w.ThinkTime = min(w.ThinkTime, 20*time.Millisecond)
	w.Clients, w.Burst, w.ValueBytes = max(w.Clients, 3), max(w.Burst, 4), max(w.ValueBytes, 300)
}

// heartbeatBytes is what a heartbeat takes on a link, or any other message but for what it carries.
const heartbeatBytes = 150

// EntryBytes is the most that a client's command takes on a link.
func (w *Swarm) EntryBytes() int {
	return max(w.ValueBytes, w.Limits.MaxCommandBytes) + heartbeatBytes
}

// OnLink is how long a link of limited speed takes to send so many bytes.
func (w *Swarm) OnLink(bytes int) time.Duration {
	if w.LinkBytesPerSecond == 0 {
		return 0
	}
	return time.Duration(float64(bytes) / float64(w.LinkBytesPerSecond) * float64(time.Second))
}

// Calm shortens whatever takes time, when the cluster heals.
func (w *Swarm) Calm() {
	for _, d := range []*time.Duration{&w.LinkDelay, &w.WriteTime, &w.FetchTime, &w.SnapshotTime} {
		*d = min(*d, w.Election/40)
	}
	w.ApplyTime = min(w.ApplyTime, time.Millisecond)
}
