package keeper

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// Recover makes voters the members of the group whose member has the directory and does not run,
// without asking anybody. It appends to the log what a leader of a later term would have: the
// configuration. Before that the log is copied to a directory beside it. With dryRun nothing is
// appended, copied or recorded. It returns the configuration that is in force then.
func Recover(dir string, voters []raft.Peer, dryRun bool) (next raft.Configuration, err error) {
	cluster, id, err := logmanager.OwnerOf(filepath.Join(dir, "log"))
	if err != nil {
		return next, err
	}
	h := Home{Dir: dir, Member: transport.Member{Cluster: cluster, ID: id},
		Logger: slog.New(slog.DiscardHandler)}
	store, err := h.OpenLog()
	if err != nil {
		return next, err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	groups := store.Groups()
	if len(groups) != 1 {
		return next, fmt.Errorf("the log in %s holds %d groups, need one", dir, len(groups))
	}
	h.Member.Group = groups[0]
	tail, err := h.tail(store)
	if err != nil {
		return next, err
	}
	before := tail.Configuration().Clone()
	next = raft.Configuration{Voters: voters, Origin: before.Origin}
	if err := next.Validate(); err != nil {
		return next, fmt.Errorf("%w: %w", raft.ErrBadConfiguration, err)
	}
	if p, _ := next.Peer(id); p.ID == "" || p.Priority == raft.NeverLeader {
		return next, fmt.Errorf("%w: %s, whose directory %s is, is not among the voters that may lead",
			raft.ErrBadConfiguration, id, dir)
	}
	next.Index = tail.Last().Index + 1
	if dryRun {
		return next, nil
	}
	stamp := time.Now().UTC().Format("20060102T150405.000000000")
	record := Audit{What: "recover", Term: tail.HardState().Term, Last: tail.Last(), Before: before,
		After: next, Copy: "recover-" + stamp}
	return next, h.Audited(record, func() error {
		if err := copyLog(filepath.Join(dir, "log"), filepath.Join(dir, record.Copy)); err != nil {
			return fmt.Errorf("copy the log: %w", err)
		}
		return appendNext(store, h.Member, tail, next)
	})
}

// tail returns the log as a member that starts would have it.
func (h Home) tail(store *logmanager.Segments) (tail *logmanager.Tail, err error) {
	stored, err := store.Load(h.Member.Group)
	if err != nil {
		return nil, err
	}
	snapshots, err := h.OpenSnapshots()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, snapshots.Close()) }()
	var newest raft.SnapshotMeta
	for _, meta := range snapshots.All() {
		if snapshots.Verify(meta.Last) == nil {
			newest = meta
			break
		}
	}
	return logmanager.NewTail(stored, newest, 0)
}

// termSkip is the number of terms among which that of the entry is drawn: if the lost members live
// all the same they have gone on to the next terms, and an entry with the term and index of one of
// theirs would pass for it (§5.3, Log Matching).
const termSkip = 1 << 20

// appendNext writes what core.ResetPeers would have written.
func appendNext(
	store logmanager.Store, m transport.Member, tail *logmanager.Tail, next raft.Configuration,
) error {
	term := tail.HardState().Term + 1 + raft.Term(rand.Uint64N(termSkip))
	tail.SetHardState(raft.HardState{Term: term, Vote: m.ID})
	entry, _ := raft.MakeEntry(nil, term, next.Index, raft.EntryConfiguration,
		raft.EncodeConfiguration(next))
	if err := tail.Append(entry); err != nil {
		return err
	}
	var w logmanager.Write
	tail.TakeWrite(&w)
	w.Group = m.Group
	return store.Write([]logmanager.Write{w})
}

// copyLog copies the log's files. Only the newest segment will be written to, so the others get a
// second name where that is possible.
func copyLog(from, to string) error {
	list, err := os.ReadDir(from) // sorted: the newest segment comes last
	if err != nil {
		return err
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		return err
	}
	newest := ""
	for _, e := range list {
		if strings.HasSuffix(e.Name(), ".seg") {
			newest = e.Name()
		}
	}
	for _, e := range list {
		source, target := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if !strings.HasSuffix(e.Name(), ".seg") {
			continue // a lock, or a spare
		}
		if e.Name() != newest && os.Link(source, target) == nil {
			continue
		}
		if err := copyFile(source, target); err != nil {
			return err
		}
	}
	return errors.Join(syncDir(to), syncDir(filepath.Dir(to)))
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Sync()
}
