package logmanager

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
)

// OpenDir is [StartSegments] on the operating system's files: the store that a member uses.
// It draws SegmentOptions.Salt if that is 0.
func OpenDir(dir string, o SegmentOptions) (*Segments, error) {
	if o.Salt == 0 {
		var salt [8]byte
		_, _ = rand.Read(salt[:]) // never fails
		o.Salt = binary.LittleEndian.Uint64(salt[:])
	}
	return StartSegments(vfs.OS(), dir, o)
}

// StartSegments is [OpenSegments] with a goroutine that calls [Segments.Prepare] whenever a segment
// was begun, so that Write finds the next one ready, or segments became superfluous. Close ends the
// goroutine.
func StartSegments(files vfs.FS, dir string, o SegmentOptions) (*Segments, error) {
	s, err := OpenSegments(files, dir, o)
	if err != nil {
		return nil, err
	}
	s.spares.done = make(chan struct{})
	s.spares.ask()
	go s.prepareLoop()
	return s, nil
}

// A spare is filled in the background, in at most a quarter of the time, so that the log's own
// writes have the disk. A log that is in such a hurry that it needs the spare before it is full
// takes it as it is: its writes are large, and for large ones that costs little.
const (
	fillShare    = 4
	maxFillPause = 50 * time.Millisecond
)

func (s *Segments) prepareLoop() {
	defer close(s.spares.done)
	for {
		select {
		case <-s.spares.stop:
			return
		case <-s.spares.want:
		}
		for s.prepareSome() {
		}
	}
}

// prepareSome does a piece of what [Segments.Prepare] does, and reports whether there is more to
// do.
func (s *Segments) prepareSome() bool {
	gone := s.retired.remove(s.files, s.dir)
	begin := time.Now()
	more, err := s.spares.prepare()
	if err = errors.Join(gone, err); err != nil && !errors.Is(err, raft.ErrStopped) {
		s.log.Warn("can't prepare the next log segment or remove old ones, will try again later",
			"error", err)
	}
	if !more {
		return false
	}
	select {
	case <-time.After(min((fillShare-1)*time.Since(begin), maxFillPause)):
	case <-s.spares.want: // the spare was taken, or segments can be removed
	case <-s.spares.stop:
		return false
	}
	return true
}

// spares makes segments ahead of time. The mutex is held while one is made and while a piece of it
// is filled: a Write that needs a segment at that moment waits for so long.
type spares struct {
	mu    sync.Mutex
	maker segmentMaker
	ready *segment // a spare under its temporary name; nil: none
	shut  bool

	want chan struct{} // room for one; a segment was taken, or segments can be removed
	stop chan struct{} // closed to end the goroutine
	done chan struct{} // closed when the goroutine has ended; nil: there is none
}

func newSpares(m segmentMaker) spares {
	return spares{maker: m, want: make(chan struct{}, 1), stop: make(chan struct{})}
}

// prepare makes a spare unless there is one, and otherwise fills a piece of it; false: there is
// nothing left to do.
func (p *spares) prepare() (more bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		return false, fmt.Errorf("log store: prepare a segment: %w", raft.ErrStopped)
	}
	if p.ready == nil {
		p.ready, err = p.maker.make(0)
		return err == nil, err
	}
	more, err = p.maker.fill(p.ready)
	if err != nil {
		err = errors.Join(err, p.maker.discard(p.ready))
		p.ready = nil
	}
	return more, err
}

// take returns the next segment, with room for atLeast bytes in all, under its final name.
func (p *spares) take(atLeast int64) (*segment, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shut {
		return nil, fmt.Errorf("log store: begin a segment: %w", raft.ErrStopped)
	}
	s := p.ready
	p.ready = nil
	if s != nil && s.size < atLeast {
		if err := p.maker.discard(s); err != nil {
			return nil, err
		}
		s = nil
	}
	if s == nil {
		var err error
		if s, err = p.maker.make(atLeast); err != nil {
			return nil, err
		}
	}
	if err := p.maker.publish(s); err != nil {
		return nil, errors.Join(err, s.file.Close())
	}
	p.ask()
	return s, nil
}

// ask wants Prepare to be called.
func (p *spares) ask() {
	select {
	case p.want <- struct{}{}:
	default: // asked for already, or nobody listens
	}
}

// close waits for the goroutine and lets go of the spare; the next open removes its file.
func (p *spares) close() error {
	p.mu.Lock()
	already := p.shut
	p.shut = true
	spare := p.ready
	p.ready = nil
	p.mu.Unlock()
	if already {
		return nil
	}
	close(p.stop)
	if p.done != nil {
		<-p.done
	}
	if spare != nil {
		return spare.file.Close()
	}
	return nil
}

// retired are the segments that the log does not need any more, until they are removed. A file is
// removed when no reader uses it, and closed before: its space is then free at once, everywhere.
type retired struct {
	work sync.Mutex // held while files are removed
	mu   sync.Mutex // guards what follows and each segment's readers and closed; never held for long
	list []*segment // oldest first
	shut bool
}

func (r *retired) add(list []*segment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, list...)
}

// hold keeps the segment's file open for a reader; false: it is closed.
func (r *retired) hold(s *segment) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.closed {
		return false
	}
	s.readers++
	return true
}

// release ends a hold. It reports whether that may allow for files to be removed.
func (r *retired) release(s *segment) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	s.readers--
	return s.readers == 0 && len(r.list) > 0 && s.number <= r.list[len(r.list)-1].number
}

// remove removes the files of the retired segments, unless one of them is being read: then it is
// for later, since only all of them can go.
func (r *retired) remove(files vfs.FS, dir string) error {
	r.work.Lock()
	defer r.work.Unlock()
	list, err := r.closeAll()
	if len(list) == 0 {
		return nil
	}
	if err := errors.Join(err, removeSegments(files, dir, list)); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = r.list[len(list):]
	return nil
}

// closeAll closes the segments and returns them; none if they can't be removed now.
func (r *retired) closeAll() (list []*segment, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shut || slices.ContainsFunc(r.list, func(s *segment) bool { return s.readers > 0 }) {
		return nil, nil
	}
	for _, s := range r.list {
		if !s.closed {
			s.closed = true
			err = errors.Join(err, s.file.Close())
		}
	}
	return slices.Clone(r.list), err
}

// close waits for a removal under way, and closes the files of the segments that are left.
func (r *retired) close() error {
	r.work.Lock()
	defer r.work.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shut = true
	var err error
	for _, s := range r.list {
		if !s.closed {
			s.closed = true
			err = errors.Join(err, s.file.Close())
		}
	}
	r.list = nil
	return err
}

// views holds what readers may see of each group: what is durable. The lock is held for a copy of a
// few words and never while anything is written or synced.
type views struct {
	mu sync.RWMutex
	of map[raft.GroupID]view
}

func newViews() views { return views{of: map[raft.GroupID]view{}} }

func (v *views) publish(g *group) {
	v.mu.Lock()
	v.of[g.id] = g.view
	v.mu.Unlock()
}

func (v *views) load(id raft.GroupID) (view, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	w, ok := v.of[id]
	return w, ok
}
