package logmanager

import (
	"encoding/binary"
	"fmt"

	"github.com/jraft-go/jraft/raft"
)

// windowBytes is how much a reader reads at once, at least.
const windowBytes = 64 << 10

// Read appends entries to dst, see [Store]. It appends none if the log does not reach up to lo (any
// more, because it was truncated). It waits for no write and no sync, and delays none.
func (s *Segments) Read(
	id raft.GroupID, lo, hi raft.Index, maxBytes int, dst []raft.Entry,
) ([]raft.Entry, error) {
	v, _ := s.views.load(id)
	if lo <= v.base.Index {
		return dst, fmt.Errorf("log store: read entry %d, the first one there is %d: %w",
			lo, v.base.Index+1, raft.ErrCompacted)
	}
	r := reader{number: v.number, maxBytes: maxBytes, next: lo}
	hi = min(hi, v.last.Index)
	for r.next <= hi && !r.full {
		i := v.pointIndex(r.next)
		to := hi
		if i+1 < len(v.points) {
			to = min(to, v.points[i+1].first-1)
		}
		seg := v.points[i].segment
		if !s.retired.hold(seg) {
			return dst, fmt.Errorf("log store: read entry %d: %w", lo, raft.ErrCompacted)
		}
		err := r.collect(v.points[i], to)
		if s.retired.release(seg) {
			s.spares.ask()
		}
		if err != nil {
			return dst, err
		}
	}
	for frames := r.frames; len(frames) > 0; {
		e, n, err := raft.DecodeFrame(frames)
		if err != nil {
			return dst, err // not reached: collect has verified it
		}
		dst = append(dst, e)
		frames = frames[n:]
	}
	return dst, nil
}

// reader collects the frames of one call of Read.
type reader struct {
	number   uint32
	maxBytes int
	next     raft.Index // the entry that is wanted next
	frames   []byte
	full     bool

	segment *segment
	window  []byte
	at      int64 // the window's offset
}

// collect takes the entries from r.next up to to, which come after p and before the next point.
func (r *reader) collect(p point, to raft.Index) error {
	if r.segment != p.segment {
		r.segment, r.window = p.segment, r.window[:0]
	}
	for at := p.at; r.next <= to && !r.full; {
		head, err := r.bytes(at, batchHead)
		if err != nil {
			return err
		}
		var h batch
		if !h.decode(head, r.segment) {
			return corrupt(r.segment.name, at, "no batch where one was written")
		}
		if h.group == r.number {
			if err := r.batch(at+batchHead, at+batchHead+int64(h.payload), to); err != nil {
				return err
			}
		}
		at += batchHead + h.padded()
	}
	return nil
}

// batch takes what is wanted of the payload between two offsets.
func (r *reader) batch(at, end int64, to raft.Index) error {
	for at < end && r.next <= to && !r.full {
		b, err := r.bytes(at, int(min(raft.FrameHead, end-at)))
		if err != nil {
			return err
		}
		if len(b) < recordHead {
			return corrupt(r.segment.name, at, "a record is cut off")
		}
		n := int64(binary.LittleEndian.Uint32(b)) + 8
		if n < recordHead || n > end-at {
			return corrupt(r.segment.name, at, fmt.Sprintf("a record announces %d bytes", n))
		}
		if b[8] <= byte(raft.EntryRestore) && n >= raft.FrameHead {
			if err := r.entry(at, int(n), raft.Index(binary.LittleEndian.Uint64(b[17:]))); err != nil {
				return err
			}
		}
		at += n
	}
	return nil
}

func (r *reader) entry(at int64, n int, index raft.Index) error {
	if index < r.next {
		return nil
	}
	frame, err := r.bytes(at, n)
	if err != nil {
		return err
	}
	e, _, err := raft.DecodeFrame(frame)
	if err != nil {
		return corrupt(r.segment.name, at, err.Error())
	}
	if e.Index != r.next {
		return corrupt(r.segment.name, at, fmt.Sprintf("entry %d where %d was written", e.Index, r.next))
	}
	if len(r.frames) > 0 && len(r.frames)+n > r.maxBytes {
		r.full = true
		return nil
	}
	r.frames = append(r.frames, frame...)
	r.next++
	return nil
}

// bytes returns n bytes of the segment; they are valid until the next call.
func (r *reader) bytes(at int64, n int) ([]byte, error) {
	if from := at - r.at; len(r.window) > 0 && from >= 0 && from+int64(n) <= int64(len(r.window)) {
		return r.window[from : from+int64(n)], nil
	}
	left := r.segment.size - at
	if int64(n) > left {
		return nil, corrupt(r.segment.name, at, fmt.Sprintf("%d bytes are wanted, %d are left", n, left))
	}
	want := int(min(left, int64(max(n, windowBytes))))
	if cap(r.window) < want {
		r.window = make([]byte, want)
	}
	r.window, r.at = r.window[:want], at
	if err := r.segment.readAt(r.window, at); err != nil {
		r.window = r.window[:0]
		return nil, err
	}
	return r.window[:n], nil
}
