package logmanager

import (
	"github.com/jraft-go/jraft/internal/invariant"
	"github.com/jraft-go/jraft/raft"
)

// Seq returns the number of the write on which a promise rests that is made now: once Written
// reports it, all that the log and hard state say now is durable.
func (t *Tail) Seq() uint64 {
	if t.gathered {
		return t.seq
	}
	return t.seq - 1
}

// TakeWrite fills w with what was gathered since the last call, and reports whether there was
// anything.
func (t *Tail) TakeWrite(w *Write) bool {
	if !t.gathered {
		return false
	}
	*w = Write{Seq: t.seq, Reset: t.reset, Truncate: t.truncate, Compact: t.compact}
	if t.hardChanged {
		h := t.hard
		w.HardState = &h
	}
	if t.firstNew <= t.last.Index {
		first := t.FirstInMemory()
		invariant.Check(t.firstNew >= first, "entries not yet written are in memory",
			uint64(t.firstNew), uint64(first))
		w.Entries = t.entries[t.firstNew-first : len(t.entries) : len(t.entries)]
	}
	t.marks = append(t.marks, mark{t.seq, t.last.Index})
	t.seq++
	t.gathered, t.hardChanged, t.reset, t.truncate, t.compact = false, false, raft.LogID{}, 0, 0
	t.firstNew = t.last.Index + 1
	return true
}

// Written notes that every write up to number seq is durable.
func (t *Tail) Written(seq uint64) {
	done := 0
	for done < len(t.marks) && t.marks[done].seq <= seq {
		t.durable = t.marks[done].agrees
		done++
	}
	t.marks = append(t.marks[:0], t.marks[done:]...)
	invariant.Check(t.durable <= t.last.Index, "the durable log is a prefix of the log",
		uint64(t.durable), uint64(t.last.Index))
}

// WrittenSeq returns the number up to which all writes are durable.
func (t *Tail) WrittenSeq() uint64 {
	if len(t.marks) > 0 {
		return t.marks[0].seq - 1
	}
	return t.seq - 1
}

// Outstanding reports whether a write was taken and not yet reported as durable.
func (t *Tail) Outstanding() bool { return len(t.marks) > 0 }

// FirstInMemory returns the index of the oldest entry in memory; one past the last if there is
// none. Every entry below is durable.
func (t *Tail) FirstInMemory() raft.Index {
	return t.last.Index + 1 - raft.Index(len(t.entries))
}

// Entries returns entries from lo up to at most hi, at least one, and no more than maxBytes of
// frames unless the first alone has more. It returns none if lo is no longer in memory: it must be
// read from the store then. The slice is shared and must not be written to.
func (t *Tail) Entries(lo, hi raft.Index, maxBytes int) []raft.Entry {
	first := t.FirstInMemory()
	hi = min(hi, t.last.Index)
	if lo < first || lo > hi {
		return nil
	}
	from, to := int(lo-first), int(hi-first)+1
	bytes, n := 0, from
	for n < to {
		bytes += t.entries[n].FrameBytes()
		if n > from && bytes > maxBytes {
			break
		}
		n++
	}
	return t.entries[from:n:n]
}

// Release drops entries from memory that are durable, oldest first, while there are more than the
// cache may keep. Those above keep, which are about to be needed, stay as long as the cache is not
// over twice its size.
func (t *Tail) Release(keep raft.Index) {
	n, bytes := 0, t.bytes
	first := t.FirstInMemory()
	for n < len(t.entries) && bytes > t.cacheBytes {
		i := first + raft.Index(n)
		if i > t.durable || i >= t.firstNew || (i > keep && bytes <= 2*t.cacheBytes) {
			break
		}
		bytes -= t.entries[n].FrameBytes()
		n++
	}
	t.dropped += t.bytes - bytes
	t.entries, t.bytes = t.entries[n:], bytes
	if t.dropped > t.cacheBytes {
		t.renew(0)
	}
}

// CachedBytes returns the bytes of frames in memory.
func (t *Tail) CachedBytes() int { return t.bytes }
