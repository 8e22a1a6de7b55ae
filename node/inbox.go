package node

import (
	"sync"

	"github.com/jraft-go/jraft/internal/await"
	"github.com/jraft-go/jraft/internal/petition"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
)

// inbox is what others hand to the loop. Producers append under a lock that is never held for long;
// the loop takes all of it at once and leaves the emptied slices of the last time. What only rises
// is kept as a number.
type inbox struct {
	wake chan struct{} // capacity 1

	mu     sync.Mutex
	awake  bool  // the loop was woken and has not taken yet
	closed error // why nothing is accepted any more
	work   work
}

// work is what the loop takes.
type work struct {
	proposals []*waiter
	reads     []*await.Read
	messages  []raft.Message
	bulkBytes int     // in messages
	breaks    []broke // among messages
	petitions []*petition.Petition
	withdrawn []withdrawn
	resets    []*resetCall
	fetched   []fetched
	written   uint64 // the highest write number that is durable

	saved   raft.SnapshotMeta // the newest snapshot of the own state; zero: none since
	arrived arrived           // of the snapshot being fetched
	pulled  []pulled          // one at a time, unless the loop is slow; bounded by the store
}

// arrived tells how much of a snapshot has been fetched.
type arrived struct {
	last  raft.LogID // zero: nothing new
	bytes int64
}

// pulled is the end of a pull.
type pulled struct {
	meta   raft.SnapshotMeta
	reader snapshot.Reader // keeps the snapshot; nil: it can't be had
}

// broke says that a peer's stream ended after so many of the messages.
type broke struct {
	after int
	from  raft.PeerID
}

// withdrawn is a petition that nobody waits for any more.
type withdrawn struct {
	*petition.Petition
	cause error
}

type fetched struct {
	peer    raft.PeerID
	entries []raft.Entry
}

const (
	maxInboxMessages = 8192
	maxInboxBreaks   = 1024
	// maxInboxBulkBytes bounds the entries and forwarded commands in them; a larger message is taken
	// if there is no other.
	maxInboxBulkBytes = 64 << 20
)

// accept puts something into one of the lists of in.work, or tells why not.
func accept[T any](in *inbox, list *[]T, one T) error {
	in.mu.Lock()
	if in.closed != nil {
		in.mu.Unlock()
		return in.closed
	}
	*list = append(*list, one)
	in.unlockAndWake()
	return nil
}

// propose accepts a command, or tells why not.
func (in *inbox) propose(w *waiter) error { return accept(in, &in.work.proposals, w) }

// read accepts a read, or tells why not.
func (in *inbox) read(r *await.Read) error { return accept(in, &in.work.reads, r) }

// receive takes messages as far as there is room and returns how many it dropped. Raft needs no
// message to arrive.
func (in *inbox) receive(msgs []raft.Message) (dropped int) {
	in.mu.Lock()
	if in.closed != nil {
		in.mu.Unlock()
		return len(msgs)
	}
	for i := range msgs {
		bytes := bulkBytes(&msgs[i])
		full := len(in.work.messages) >= maxInboxMessages ||
			bytes > 0 && in.work.bulkBytes > 0 && in.work.bulkBytes+bytes > maxInboxBulkBytes
		if full {
			dropped++
			continue
		}
		in.work.messages = append(in.work.messages, msgs[i])
		in.work.bulkBytes += bytes
	}
	in.unlockAndWake()
	return dropped
}

// broken takes note of the end of a peer's stream, after the messages that came over it. One that
// is not taken costs time only: the leader is missed later.
func (in *inbox) broken(from raft.PeerID) {
	in.mu.Lock()
	if w := &in.work; in.closed == nil && len(w.breaks) < maxInboxBreaks {
		w.breaks = append(w.breaks, broke{len(w.messages), from})
	}
	in.unlockAndWake()
}

// Begin implements petition.Loop.
func (in *inbox) Begin(p *petition.Petition) error { return accept(in, &in.work.petitions, p) }

// Withdraw implements petition.Loop. At the end of the member all are decided anyway.
func (in *inbox) Withdraw(p *petition.Petition, cause error) {
	_ = accept(in, &in.work.withdrawn, withdrawn{p, cause})
}

// reset accepts a reset of the peers, or tells why not.
func (in *inbox) reset(r *resetCall) error { return accept(in, &in.work.resets, r) }

// bulkBytes counts what a message holds beyond the little that every message does.
func bulkBytes(m *raft.Message) (bytes int) {
	switch b := m.Body.(type) {
	case *raft.AppendEntries:
		for i := range b.Entries {
			bytes += b.Entries[i].FrameBytes()
		}
	case *raft.Propose:
		for i := range b.Commands {
			bytes += raft.FrameHead + len(b.Commands[i].Data)
		}
	}
	return bytes
}

func (in *inbox) addFetched(peer raft.PeerID, entries []raft.Entry) {
	in.mu.Lock()
	in.work.fetched = append(in.work.fetched, fetched{peer, entries})
	in.unlockAndWake()
}

func (in *inbox) setWritten(seq uint64) {
	in.mu.Lock()
	in.work.written = seq
	in.unlockAndWake()
}

// Saved implements keeper.Listener.
func (in *inbox) Saved(meta raft.SnapshotMeta) {
	in.mu.Lock()
	if meta.Last.Index >= in.work.saved.Last.Index {
		in.work.saved = meta
	}
	in.unlockAndWake()
}

// Arrived implements keeper.Listener.
func (in *inbox) Arrived(last raft.LogID, bytes int64) {
	in.mu.Lock()
	in.work.arrived = arrived{last, bytes}
	in.unlockAndWake()
}

// Pulled implements keeper.Listener.
func (in *inbox) Pulled(meta raft.SnapshotMeta, reader snapshot.Reader) (taken bool) {
	return accept(in, &in.work.pulled, pulled{meta, reader}) == nil
}

// poke wakes the loop because a number that it reads has changed.
func (in *inbox) poke() {
	in.mu.Lock()
	in.unlockAndWake()
}

func (in *inbox) unlockAndWake() {
	wake := !in.awake
	in.awake = true
	in.mu.Unlock()
	if !wake {
		return
	}
	select {
	case in.wake <- struct{}{}:
	default: // the loop took the work without taking this
	}
}

// take moves everything into w, whose slices are used for what comes next.
func (in *inbox) take(w *work) {
	clear(w.proposals)
	clear(w.reads)
	clear(w.messages)
	clear(w.breaks)
	clear(w.petitions)
	clear(w.withdrawn)
	clear(w.resets)
	clear(w.fetched)
	clear(w.pulled)
	in.mu.Lock()
	in.work, *w = work{
		proposals: w.proposals[:0], reads: w.reads[:0], messages: w.messages[:0], fetched: w.fetched[:0],
		pulled: w.pulled[:0], breaks: w.breaks[:0], petitions: w.petitions[:0],
		withdrawn: w.withdrawn[:0], resets: w.resets[:0],
	}, in.work
	in.awake = false
	in.mu.Unlock()
}

// close refuses everything from now on.
func (in *inbox) close(cause error) {
	in.mu.Lock()
	in.closed = cause
	in.mu.Unlock()
}
