package logmanager

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path"
	"slices"
	"sort"

	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
)

// SegmentOptions say whose log it is and how large its files are.
type SegmentOptions struct {
	Cluster string      // the cluster id; may be empty
	Peer    raft.PeerID // the member. Files of another peer or cluster are refused

	FirstSegmentBytes int64 // size of the first file, default 1 MiB; each is twice the one before ...
	MaxSegmentBytes   int64 // ... up to this, default 64 MiB. What does not fit gets a larger file

	// Salt is a random number, drawn anew for each opening; 0: none. From it and their numbers come
	// the salts of the segments that this opening makes, which keep a command that looks like a piece
	// of the log from being taken for one. [OpenDir] draws it if it is 0.
	Salt uint64

	Holder string       // who holds the store's lock, for the error that a second one gets
	Logger *slog.Logger // default: none
}

func (o *SegmentOptions) complete() error {
	if err := o.Peer.Validate(); err != nil {
		return fmt.Errorf("log store: %w", err)
	}
	if err := raft.ValidateCluster(o.Cluster); err != nil {
		return fmt.Errorf("log store: %w", err)
	}
	if o.FirstSegmentBytes == 0 {
		o.FirstSegmentBytes = 1 << 20
	}
	if o.MaxSegmentBytes == 0 {
		o.MaxSegmentBytes = max(64<<20, o.FirstSegmentBytes)
	}
	if o.FirstSegmentBytes < 2*segmentHead || o.MaxSegmentBytes < o.FirstSegmentBytes {
		return fmt.Errorf("log store: FirstSegmentBytes is %d, MaxSegmentBytes is %d; need %d <= "+
			"first <= max", o.FirstSegmentBytes, o.MaxSegmentBytes, 2*segmentHead)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Segments is the [Store] that a member uses unless told otherwise: one stream of batches, for all
// groups, in files of fixed size. Memory: some 40 bytes per 64 KiB of log, and the configurations.
//
// Write.Compact takes effect at once for Load and Read. The space is given back in whole segments,
// once no group needs any of the older ones, by [Segments.Prepare].
type Segments struct {
	log     *slog.Logger
	files   vfs.FS
	dir     string
	who     identity
	lock    io.Closer
	spares  spares
	retired retired
	views   views

	// What follows belongs to the goroutine that writes.
	segments []*segment // oldest first; the last one is written to
	groups   []*group   // by number - 1
	byID     map[raft.GroupID]*group
	end      int64  // where the next append goes in the last segment
	sequence uint64 // of the last batch
	clean    bool   // the last batch is a clean close
	failed   error  // why no write is possible any more

	frontFree bool   // the first segment may have become superfluous
	needed    uint64 // the oldest segment that a group needs, or an older one

	buf   []byte   // the append being made
	head  int      // where in buf the open batch begins; -1: none is open
	open  batch    // the open batch
	back  uint32   // batches completed in buf
	dirty []*group // groups whose views are to be published
}

// group is what the writer knows of a group: everything it has put into the stream, durable or not.
type group struct {
	id    raft.GroupID
	dirty bool // it is in Segments.dirty
	cut   bool // a truncation came after the last point: the next entry needs one
	bars  []bar
	view
}

// view is a group as readers see it. Its slices are only ever appended to; where a truncation or
// compaction shortens one it is copied, so that a view stays what it was.
type view struct {
	number         uint32
	hard           raft.HardState
	base, last     raft.LogID
	runs           []Run
	configurations []raft.Entry
	points         []point
}

// point says where to find entries: those from first up to the next point are in this segment, in
// batches at and after this offset, and in between no other entry of the group has such an index
// before the one that is meant.
type point struct {
	first   raft.Index
	at      int64 // of the batch's head
	segment *segment
}

// pointIndex returns which point the entry at i, which is there, is to be found from.
func (v *view) pointIndex(i raft.Index) int {
	n := sort.Search(len(v.points), func(n int) bool { return v.points[n].first > i }) - 1
	invariant.Check(n >= 0, "a point is at or before every entry", uint64(i))
	return n
}

func (v *view) pointOf(i raft.Index) point { return v.points[v.pointIndex(i)] }

// pointBytes is the distance of two points of a group in the stream, at least.
const pointBytes = 64 << 10

var _ Store = (*Segments)(nil)

// OpenSegments opens the store in dir, or makes it, for this process alone, and recovers what is
// durable. It starts no goroutine, see [StartSegments] and [Segments.Prepare].
//
// Errors: vfs.ErrLocked, raft.ErrWrongCluster, raft.ErrCorrupt (the text names file and offset),
// raft.ErrDiskFull. An append that was under way when the machine stopped is cut off if it is not
// complete; that is no error.
func OpenSegments(files vfs.FS, dir string, o SegmentOptions) (*Segments, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	if err := files.MkdirAll(dir); err != nil {
		return nil, storageError("make "+dir, err)
	}
	lock, err := files.Lock(path.Join(dir, lockName), o.Holder)
	if err != nil {
		return nil, storageError("lock", err)
	}
	who := identity{o.Cluster, o.Peer}
	s := &Segments{
		log: o.Logger, files: files, dir: dir, who: who, lock: lock,
		byID: map[raft.GroupID]*group{},
		head: -1, needed: math.MaxUint64,
		views: newViews(),
		spares: newSpares(segmentMaker{
			files: files, dir: dir, who: who, salt: o.Salt,
			first: o.FirstSegmentBytes, most: o.MaxSegmentBytes,
			next: 1, size: o.FirstSegmentBytes,
		}),
	}
	if err := s.recover(); err != nil {
		return nil, errors.Join(err, s.release())
	}
	return s, nil
}

// Prepare does what need not be done by a Write: it removes the files of segments that compaction
// made superfluous, and makes the next segment ahead of time unless that has been done. It may run
// beside all other calls. A failure is harmless: Write will make the segment when it needs it, and
// files that could not be removed are tried again by the next call, or stay until the log is
// compacted again after the next opening.
func (s *Segments) Prepare() error {
	gone := s.retired.remove(s.files, s.dir)
	for {
		if more, err := s.spares.prepare(); !more || err != nil {
			return errors.Join(gone, err)
		}
	}
}

// Load returns what is durable of a group.
func (s *Segments) Load(id raft.GroupID) (Stored, error) {
	v, _ := s.views.load(id)
	return Stored{
		HardState: v.hard, Base: v.base, Last: v.last,
		Runs:           slices.Clone(v.runs),
		Configurations: slices.Clone(v.configurations),
	}, nil
}

// Close marks the end of the stream, unless a write has failed, and releases the files and the
// lock.
func (s *Segments) Close() error {
	if s.lock == nil {
		return nil
	}
	var err error
	if s.failed == nil && !s.clean && s.sequence > 0 {
		err = s.writeClose()
	}
	s.failed = fmt.Errorf("log store: %w", raft.ErrStopped)
	return errors.Join(err, s.release())
}

func (s *Segments) release() error {
	err := errors.Join(s.spares.close(), s.retired.close())
	for _, seg := range s.segments {
		err = errors.Join(err, seg.file.Close())
	}
	err = errors.Join(err, s.lock.Close())
	s.lock = nil
	return err
}

// truncate removes the entries from an index on, which is above the base and not above the last. It
// is recorded in seg.
func (g *group) truncate(from raft.Index, seg *segment) {
	g.barFrom(from, seg)
	g.view.truncate(from)
	g.cut = true
}

func (v *view) truncate(from raft.Index) {
	v.points = cutFrom(v.points, func(p point) bool { return p.first >= from })
	v.configurations = cutFrom(v.configurations, func(e raft.Entry) bool { return e.Index >= from })
	v.runs = cutFrom(v.runs, func(r Run) bool { return r.First >= from })
	v.last = v.base
	if from-1 > v.base.Index {
		v.last = raft.LogID{Term: v.runs[len(v.runs)-1].Term, Index: from - 1}
	}
}

// cutFrom returns a copy of s without the elements from the first gone one on.
func cutFrom[T any](s []T, gone func(T) bool) []T {
	for i := range s {
		if gone(s[i]) {
			return slices.Clone(s[:i])
		}
	}
	return s
}

// extend notes an entry that follows the last one, in the batch at an offset of a segment.
func (g *group) extend(e *raft.Entry, seg *segment, at int64) {
	var near point // the last one, if it is near enough to find e from
	if n := len(g.points); n > 0 && !g.cut {
		near = g.points[n-1]
	}
	if near.segment != seg || at-near.at >= pointBytes {
		g.points = append(g.points, point{e.Index, at, seg})
		g.cut = false
	}
	if n := len(g.runs); n == 0 || g.runs[n-1].Term != e.Term {
		g.runs = append(g.runs, Run{e.Index, e.Term})
	}
	if e.Kind == raft.EntryConfiguration {
		own, _, err := raft.DecodeFrame(slices.Clone(e.Frame()))
		if err == nil { // always: the frame was made or verified before
			g.configurations = append(g.configurations, own)
		}
	}
	g.last = e.ID()
}
