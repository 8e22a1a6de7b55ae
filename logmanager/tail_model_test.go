package logmanager_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/jraft-go/jraft/logmanager"
	"github.com/jraft-go/jraft/raft"
)

// tailLog is a log as plainly as can be: all its entries since the last reset in a slice.
type tailLog struct {
	floor   raft.LogID // the last reset
	entries []raft.Entry
	base    raft.Index         // entries up to here are compacted
	known   raft.Configuration // in force at its index, from a snapshot
	hard    raft.HardState
}

func (l *tailLog) last() raft.LogID { return l.id(l.floor.Index + raft.Index(len(l.entries))) }

func (l *tailLog) id(i raft.Index) raft.LogID {
	if i == l.floor.Index {
		return l.floor
	}
	return l.entry(i).ID()
}

func (l *tailLog) entry(i raft.Index) *raft.Entry { return &l.entries[i-l.floor.Index-1] }

func (l *tailLog) truncate(i raft.Index) {
	l.entries = slices.Clone(l.entries[:i-l.floor.Index-1])
}

func (l *tailLog) reset(s raft.SnapshotMeta) {
	l.floor, l.entries, l.base, l.known = s.Last, nil, s.Last.Index, s.Configuration
	if s.Last.Term > l.hard.Term {
		l.hard = raft.HardState{Term: s.Last.Term}
	}
}

func (l *tailLog) clone() *tailLog {
	c := *l
	c.entries = slices.Clone(l.entries)
	return &c
}

// restarted is the log that a member goes on with that finds this one and the snapshot, and whether
// the one is not the other.
func (l *tailLog) restarted(s raft.SnapshotMeta) (c *tailLog, reset bool) {
	c = l.clone()
	c.known = s.Configuration
	if term, ok := c.termAt(s.Last.Index); !ok || term != s.Last.Term {
		c.reset(s)
		return c, true
	}
	return c, false
}

// termAt is a look at the entry.
func (l *tailLog) termAt(i raft.Index) (raft.Term, bool) {
	if i < l.base || i > l.last().Index {
		return 0, false
	}
	return l.id(i).Term, true
}

// newestWithin is a scan.
func (l *tailLog) newestWithin(i raft.Index, term raft.Term) raft.LogID {
	for n := l.last().Index; n > l.base; n-- {
		if id := l.id(n); n <= i && id.Term <= term {
			return id
		}
	}
	return l.id(l.base)
}

// configurationAt is another one.
func (l *tailLog) configurationAt(t require.TestingT, i raft.Index) raft.Configuration {
	for n := i; n > max(l.floor.Index, l.known.Index); n-- {
		if e := l.entry(n); e.Kind == raft.EntryConfiguration {
			c, err := raft.DecodeConfiguration(e.Index, e.Data)
			require.NoError(t, err)
			return c
		}
	}
	return l.known
}

// agrees is how far l says the same as m.
func (l *tailLog) agrees(m *tailLog) raft.Index {
	i := max(l.floor.Index, m.floor.Index)
	if i > l.last().Index || i > m.last().Index || l.id(i) != m.id(i) {
		return min(l.floor.Index, m.floor.Index)
	}
	for i < l.last().Index && i < m.last().Index && sameEntry(*l.entry(i + 1), *m.entry(i + 1)) {
		i++
	}
	return i
}

func sameEntry(a, b raft.Entry) bool {
	return a.ID() == b.ID() && a.Kind == b.Kind && string(a.Data) == string(b.Data)
}

// write carries out a write, as a store does.
func (l *tailLog) write(t require.TestingT, w logmanager.Write) {
	if w.HardState != nil {
		l.hard = *w.HardState
	}
	if w.Reset != (raft.LogID{}) {
		require.GreaterOrEqual(t, w.Reset.Index, l.base)
		require.LessOrEqual(t, w.Reset.Term, l.hard.Term)
		l.reset(raft.SnapshotMeta{Last: w.Reset})
	}
	if w.Truncate != 0 {
		require.Greater(t, w.Truncate, l.base)
		require.LessOrEqual(t, w.Truncate, l.last().Index, "a truncation of what is not there")
		l.truncate(w.Truncate)
	}
	for _, e := range w.Entries {
		require.Equal(t, l.last().Index+1, e.Index, "writes leave no gap")
		require.GreaterOrEqual(t, e.Term, l.last().Term)
		require.LessOrEqual(t, e.Term, l.hard.Term, "no entry of a term before the term itself")
		l.entries = append(l.entries, e)
	}
	require.LessOrEqual(t, w.Compact, l.last().Index, "a compaction of what is not there")
	l.base = max(l.base, w.Compact)
}

func (l *tailLog) stored() logmanager.Stored {
	s := logmanager.Stored{HardState: l.hard, Base: l.id(l.base), Last: l.last()}
	for _, e := range l.entries[l.base-l.floor.Index:] {
		if n := len(s.Runs); n == 0 || s.Runs[n-1].Term != e.Term {
			s.Runs = append(s.Runs, logmanager.Run{First: e.Index, Term: e.Term})
		}
		if e.Kind == raft.EntryConfiguration {
			s.Configurations = append(s.Configurations, e)
		}
	}
	return s
}

// tailWorld is a Tail, what it must be equal to, and a disk that finishes writes when it likes.
type tailWorld struct {
	tail *logmanager.Tail
	log  *tailLog // what the tail must say
	disk *tailLog // what a crash would leave, at least

	snapshot raft.SnapshotMeta // the newest one, durable

	cache    int
	gathered bool
	seq      uint64             // of the last write taken
	pending  []logmanager.Write // taken and not on the disk
	onDisk   uint64             // the last write on the disk
	reported uint64             // by Written
	promises []tailPromise
	handed   []handedOut
	made     int // entries, so that no two are the same
}

// tailPromise says that the log up to agrees and the hard state will be durable with write seq.
type tailPromise struct {
	seq    uint64
	agrees raft.Index // lowered by truncations
	hard   raft.HardState
}

// handedOut is a slice that others may hold, and what was in it.
type handedOut struct{ slice, was []raft.Entry }

const tailCache = 300

func (w *tailWorld) open(t *rapid.T) {
	var err error
	w.tail, err = logmanager.NewTail(w.disk.stored(), w.snapshot, w.cache)
	require.NoError(t, err)
	w.log, w.gathered = w.disk.restarted(w.snapshot)
	w.seq, w.onDisk, w.reported = 0, 0, 0
	w.pending, w.promises = nil, nil
	require.Equal(t, w.log.last().Index, w.tail.Durable())
}

func (w *tailWorld) make(t *rapid.T, n int) (list []raft.Entry) {
	last := w.log.last()
	for i := range n {
		term := raft.Term(rapid.Uint64Range(uint64(last.Term), uint64(w.log.hard.Term)).Draw(t, "term"))
		last = raft.LogID{Term: term, Index: last.Index + 1}
		size := rapid.IntRange(1, 120).Draw(t, "size")
		kind, data := raft.EntryCommand, fmt.Appendf(nil, "%*d", size, w.made+i)
		if rapid.IntRange(0, 4).Draw(t, "kind") == 0 {
			kind = raft.EntryConfiguration
			data = raft.EncodeConfiguration(raft.Configuration{
				Voters: []raft.Peer{{ID: raft.PeerID(fmt.Sprint("p", w.made+i)), Addr: "h:1"}},
				Origin: rapid.Uint32().Draw(t, "origin"),
			})
		}
		e, _ := raft.MakeEntry(nil, term, last.Index, kind, data)
		list = append(list, e)
	}
	w.made += n
	return list
}

func (w *tailWorld) remember(t *rapid.T, s []raft.Entry) {
	require.Equal(t, len(s), cap(s), "who appends to it must not write into the log")
	w.handed = append(w.handed, handedOut{s, slices.Clone(s)})
}

func (w *tailWorld) promise() {
	p := tailPromise{w.tail.Seq(), w.log.last().Index, w.log.hard}
	w.promises = append(w.promises, p)
}

func (w *tailWorld) append(t *rapid.T) {
	if w.log.hard.Term == 0 {
		w.setHardState(t)
	}
	list := w.make(t, rapid.IntRange(1, 5).Draw(t, "entries"))
	require.NoError(t, w.tail.Append(list...))
	w.log.entries = append(w.log.entries, list...)
	w.gathered = true
	w.promise()
}

// appendBroken has a configuration that can't be read: it and what follows it is not taken.
func (w *tailWorld) appendBroken(t *rapid.T) {
	list := w.make(t, rapid.IntRange(1, 3).Draw(t, "entries"))
	n := rapid.IntRange(0, len(list)-1).Draw(t, "broken")
	list[n].Kind, list[n].Data = raft.EntryConfiguration, []byte("nonsense")
	require.Error(t, w.tail.Append(list...))
	w.log.entries = append(w.log.entries, list[:n]...)
	w.gathered = w.gathered || n > 0
}

func (w *tailWorld) truncate(t *rapid.T) {
	// What a snapshot covers is committed.
	covered, last := max(w.log.base, w.snapshot.Last.Index), w.log.last().Index
	if covered >= last {
		return
	}
	i := drawIndex(t, "from", covered+1, last)
	w.tail.Truncate(i)
	w.log.truncate(i)
	w.gathered = true // or was: what was not written yet has been gathered before
	for n := range w.promises {
		w.promises[n].agrees = min(w.promises[n].agrees, i-1)
	}
	w.promise()
}

func (w *tailWorld) setHardState(t *rapid.T) {
	h := &w.log.hard
	if h.Vote == "" && h.Term > 0 && rapid.Bool().Draw(t, "vote") {
		h.Vote = "v"
	} else {
		*h = raft.HardState{Term: h.Term + raft.Term(rapid.IntRange(1, 3).Draw(t, "terms"))}
		if rapid.Bool().Draw(t, "campaign") {
			h.Vote = "me"
		}
	}
	w.tail.SetHardState(*h)
	w.gathered = true
	w.promise()
}

func (w *tailWorld) take(t *rapid.T) {
	var one logmanager.Write
	before := w.tail.Seq()
	require.Equal(t, w.gathered, w.tail.TakeWrite(&one))
	require.Equal(t, before, w.tail.Seq(), "what was promised rests on the write that was taken")
	if !w.gathered {
		return
	}
	w.seq++
	w.gathered = false
	require.Equal(t, w.seq, one.Seq)
	w.remember(t, one.Entries)
	w.pending = append(w.pending, one)
}

// sync lets the disk carry out the next write.
func (w *tailWorld) sync(t require.TestingT) {
	if len(w.pending) == 0 {
		return
	}
	w.disk.write(t, w.pending[0])
	w.onDisk = w.pending[0].Seq
	w.pending = w.pending[1:]
}

func (w *tailWorld) written(t *rapid.T) {
	if w.onDisk == w.reported {
		return
	}
	w.reported = rapid.Uint64Range(w.reported+1, w.onDisk).Draw(t, "seq")
	w.tail.Written(w.reported)
}

func (w *tailWorld) release(t *rapid.T) {
	keep := raft.Index(rapid.Uint64Range(0, uint64(w.log.last().Index)+2).Draw(t, "keep"))
	w.tail.Release(keep)
	first, bytes := w.tail.FirstInMemory(), w.tail.CachedBytes()
	if bytes > w.cache { // then there must be a reason to keep the oldest
		needed := first > w.tail.Durable()
		wanted := first > keep && bytes <= 2*w.cache
		unwritten := w.gathered && first > w.disk.agrees(w.log)
		require.True(t, needed || wanted || unwritten, "%d bytes, first is %d", bytes, first)
	}
}

// save takes a snapshot of what is durable.
func (w *tailWorld) save(t *rapid.T) {
	low, high := max(w.snapshot.Last.Index, w.log.base), w.tail.Durable()
	if low >= high {
		return
	}
	i := drawIndex(t, "cut", low+1, high)
	w.snapshot = raft.SnapshotMeta{
		Last: w.log.id(i), Configuration: w.tail.ConfigurationAt(i).Clone(),
	}
}

// install publishes a snapshot of a leader, and, unless the machine stops first, resets the log to
// it, which may have some of its entries, all, or others in their place.
func (w *tailWorld) install(t *rapid.T) {
	low := max(w.snapshot.Last.Index, w.log.base)
	id := raft.LogID{Index: drawIndex(t, "index", low+1, w.log.last().Index+5)}
	from := max(w.snapshot.Last.Term, w.log.id(w.log.base).Term, 1)
	to := max(from, w.log.hard.Term) + 1
	id.Term = raft.Term(rapid.Uint64Range(uint64(from), uint64(to)).Draw(t, "term"))
	voter := raft.Peer{ID: raft.PeerID(fmt.Sprint("s", w.made)), Addr: "h:1"}
	w.made++
	w.snapshot = raft.SnapshotMeta{
		Last: id,
		Configuration: raft.Configuration{Index: id.Index, Voters: []raft.Peer{voter},
			Origin: rapid.Uint32().Draw(t, "origin")},
	}
	if rapid.IntRange(0, 4).Draw(t, "stop") == 0 {
		w.reopen(t)
		return
	}
	w.tail.Reset(w.snapshot)
	w.log.reset(w.snapshot)
	w.gathered = true
	for n := range w.promises {
		w.promises[n].agrees = min(w.promises[n].agrees, id.Index)
	}
	w.promise()
}

func (w *tailWorld) compact(t *rapid.T) {
	to := drawIndex(t, "to", 0, min(w.snapshot.Last.Index, w.tail.Durable()))
	w.tail.Compact(to)
	if to > w.log.base {
		w.log.base, w.gathered = to, true
		w.promise()
	}
}

func (w *tailWorld) read(t *rapid.T) {
	last := w.log.last().Index
	lo := raft.Index(rapid.Uint64Range(0, uint64(last)+2).Draw(t, "lo"))
	hi := raft.Index(rapid.Uint64Range(0, uint64(last)+2).Draw(t, "hi"))
	most := rapid.IntRange(0, 600).Draw(t, "most")
	got := w.tail.Entries(lo, hi, most)
	hi = min(hi, last)
	if lo < w.tail.FirstInMemory() || lo > hi {
		require.Empty(t, got)
		return
	}
	require.NotEmpty(t, got, "at least one")
	bytes := 0
	for i, e := range got {
		require.True(t, sameEntry(*w.log.entry(lo + raft.Index(i)), e))
		bytes += e.FrameBytes()
	}
	require.True(t, len(got) == 1 || bytes <= most, "%d bytes in %d entries", bytes, len(got))
	if next := lo + raft.Index(len(got)); next <= hi {
		bytes += w.log.entry(next).FrameBytes()
		require.Greater(t, bytes, most, "one more had room")
	}
	w.remember(t, got)
}

// restart goes on with what the disk has.
func (w *tailWorld) restart(t *rapid.T) {
	crashed, _ := w.disk.restarted(w.snapshot)
	require.LessOrEqual(t, w.tail.Durable(), crashed.agrees(w.log))
	w.reopen(t)
}

// reopen opens what the disk has, some writes under way included.
func (w *tailWorld) reopen(t *rapid.T) {
	for range rapid.IntRange(0, len(w.pending)).Draw(t, "survive") {
		w.sync(t)
	}
	// A store may have kept more than it was asked to.
	w.disk.base = drawIndex(t, "base", w.disk.floor.Index, w.disk.base)
	w.open(t)
}

func (w *tailWorld) check(t *rapid.T) {
	l, tail := w.log, w.tail
	require.Equal(t, l.last(), tail.Last())
	require.Equal(t, l.base+1, tail.First())
	require.Equal(t, l.hard, tail.HardState())
	require.Equal(t, l.configurationAt(t, l.last().Index), *tail.Configuration())
	for i := max(l.base, l.known.Index); i <= l.last().Index; i++ {
		require.Equal(t, l.configurationAt(t, i), *tail.ConfigurationAt(i), "at index %d", i)
	}
	for i := raft.Index(0); i <= l.last().Index+2; i++ {
		want, ok := l.termAt(i)
		got, has := tail.TermAt(i)
		require.Equal(t, ok, has, "index %d", i)
		require.Equal(t, want, got, "index %d", i)
		for term := raft.Term(0); term <= l.last().Term+1; term++ {
			require.Equal(t, l.newestWithin(i, term), tail.NewestWithin(i, term), "%d/%d", term, i)
		}
	}
	bytes := 0
	for i := tail.FirstInMemory(); i <= l.last().Index; i++ {
		bytes += l.entry(i).FrameBytes()
	}
	require.Equal(t, bytes, tail.CachedBytes())
	require.LessOrEqual(t, tail.FirstInMemory(), tail.Durable()+1, "what is not durable is in memory")
	w.checkDurable(t)
	for _, h := range w.handed {
		for i := range h.slice {
			require.True(t, sameEntry(h.was[i], h.slice[i]), "a slice that was handed out changed")
		}
	}
}

// checkDurable holds the write-number rule: whenever the machine stops now, whatever writes under
// way the disk still makes, the log is there up to Durable, and so is every promise that was kept.
func (w *tailWorld) checkDurable(t *rapid.T) {
	tail := w.tail
	require.Equal(t, w.reported, tail.WrittenSeq())
	require.Equal(t, w.reported < w.seq, tail.Outstanding())
	disk := w.disk.clone()
	var crashed *tailLog
	for i := -1; i < len(w.pending); i++ {
		if i >= 0 {
			disk.write(t, w.pending[i])
		}
		crashed, _ = disk.restarted(w.snapshot)
		require.LessOrEqual(t, tail.Durable(), crashed.agrees(w.log), "after %d writes more", i+1)
		for _, p := range w.promises {
			if p.seq <= tail.WrittenSeq() {
				require.LessOrEqual(t, p.agrees, crashed.agrees(w.log))
				require.LessOrEqual(t, p.hard.Term, crashed.hard.Term)
				if p.hard.Term == crashed.hard.Term && p.hard.Vote != "" {
					require.Equal(t, p.hard.Vote, crashed.hard.Vote)
				}
			}
		}
	}
	for _, p := range w.promises {
		if p.seq <= tail.WrittenSeq() {
			require.GreaterOrEqual(t, tail.Durable(), p.agrees, "durable is known to be")
		}
	}
	if !w.gathered {
		require.Equal(t, w.log.last(), crashed.last(), "the writes make up the log")
		require.Equal(t, w.log.last().Index, crashed.agrees(w.log))
		require.Equal(t, w.log.hard, crashed.hard)
	}
}

func TestTailEqualsModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &tailWorld{
			disk:  &tailLog{},
			cache: rapid.SampledFrom([]int{0, tailCache, 1 << 20}).Draw(t, "cache"),
		}
		w.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"append": w.append, "append more": w.append, "append broken": w.appendBroken,
			"truncate": w.truncate, "hard state": w.setHardState,
			"take": w.take, "take again": w.take, "sync": func(t *rapid.T) { w.sync(t) },
			"written": w.written, "release": w.release, "read": w.read, "restart": w.restart,
			"save": w.save, "compact": w.compact, "install": w.install,
			"": w.check,
		})
	})
}
