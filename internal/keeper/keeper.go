// Package keeper looks after the snapshots of one running member, beside its loop: it takes them,
// serves them to other members, and fetches theirs. It also makes the data directory of a member,
// out of nothing or of a backup. It corresponds to
// com.alipay.sofa.jraft.storage.snapshot.SnapshotExecutorImpl and its copier.
package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/snapshot"
	"github.com/jraft-go/jraft/transport"
)

// Listener is told what becomes of snapshots. None of its methods blocks.
type Listener interface {
	// Saved tells that a snapshot of the member's own state is durable.
	Saved(meta raft.SnapshotMeta)
	// Arrived tells how many bytes of the snapshot being fetched are here.
	Arrived(last raft.LogID, bytes int64)
	// Pulled ends a pull: the snapshot is published, and the reader keeps it from being removed. With
	// a nil reader it can't be had. If false is returned nobody wants the reader any more.
	Pulled(meta raft.SnapshotMeta, reader snapshot.Reader) (taken bool)
}

// Options describe the member.
type Options struct {
	Member    transport.Member
	Store     snapshot.Store
	Transport transport.Transport
	Policy    snapshot.Policy // with its defaults
	Seed      uint64          // of the randomness of thresholds
	Logger    *slog.Logger
	Listener  Listener
	Now       func() time.Duration // the member's clock
	Applied   func() raft.Index    // the last entry that the state machine has applied
	Propose   Propose              // entries of a restore
	// MaxCommandBytes bounds what is proposed.
	MaxCommandBytes int
	Fail            func(error) // fails the member; the first call counts
}

// Keeper looks after the snapshots of one member. All methods may be called from several
// goroutines, [Keeper.Run] excepted.
type Keeper struct {
	o       Options
	log     *slog.Logger
	life    context.Context // ends with the member; its cause tells why
	applier *fsm.Loop       // set by Run
	saver   saver
	puller  puller
	server  server
}

// New returns the keeper of a member whose state is that of a snapshot up to covered (0: there is
// none). Life is to end with the member, with the cause that calls are to fail with.
func New(life context.Context, o Options, covered raft.Index) *Keeper {
	k := &Keeper{o: o, log: o.Logger, life: life,
		puller: newPuller(o.Policy), server: newServer(o.Policy)}
	k.saver.init(&o, covered)
	return k
}

// Run starts the goroutines, which end with the member's life.
func (k *Keeper) Run(applier *fsm.Loop) {
	k.applier = applier
	go k.runSaver()
	go k.runPuller()
}

// Wait returns when the goroutines have ended, user code in Save included.
func (k *Keeper) Wait() {
	<-k.saver.ended
	<-k.puller.ended
}

// errEnded is the fault if code called by one of the goroutines ends it (runtime.Goexit).
var errEnded = errors.New("keeper: a goroutine of the member was ended by code that it called")

// catch makes a panic in a goroutine the member's fault. To be deferred.
func (k *Keeper) catch(who string) {
	r := recover()
	if r == nil {
		return
	}
	err, ok := r.(error)
	if !ok {
		err = fmt.Errorf("%v", r)
	}
	k.o.Fail(fmt.Errorf("keeper: panic in the %s: %w\n%s", who, err, debug.Stack()))
}

// collect removes snapshots that are not needed any more. A failure leaves them for later.
func (k *Keeper) collect() {
	if err := k.o.Store.Collect(k.o.Now()); err != nil {
		k.log.Warn("raft: remove old snapshots", "error", err)
	}
}
