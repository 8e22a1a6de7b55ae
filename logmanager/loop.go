package logmanager

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
)

// OpenDir is [StartSegments] on the operating system's files: the store that a member uses.
func OpenDir(dir string, o SegmentOptions) (*Segments, error) {
	return StartSegments(vfs.OS(), dir, o)
}

// StartSegments is [OpenSegments] with a goroutine that calls [Segments.Prepare] whenever a segment
// was begun, so that Write finds the next one ready. Close ends the goroutine.
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
	for range s.spares.want {
		for s.prepareSome() {
		}
	}
}

// prepareSome reports whether there is more to do.
func (s *Segments) prepareSome() bool {
	begin := time.Now()
	more, err := s.spares.prepare()
	if err != nil && !errors.Is(err, raft.ErrStopped) {
		s.log.Warn("can't prepare the next log segment, will make it when it is needed", "error", err)
	}
	if more {
		select {
		case <-time.After(min((fillShare-1)*time.Since(begin), maxFillPause)):
		case <-s.spares.want: // the spare was taken, or this is the end
		}
	}
	return more
}

// spares makes segments ahead of time. The mutex is held while one is made and while a piece of it
// is filled: a Write that needs a segment at that moment waits for so long.
type spares struct {
	mu    sync.Mutex
	maker segmentMaker
	ready *segment // a spare under its temporary name; nil: none
	shut  bool

	want chan struct{} // room for one; a segment was taken
	done chan struct{} // closed when the goroutine has ended; nil: there is none
}

func newSpares(m segmentMaker) spares {
	return spares{maker: m, want: make(chan struct{}, 1)}
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

// ask wants a spare to be made.
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
	close(p.want)
	if p.done != nil {
		<-p.done
	}
	if spare != nil {
		return spare.file.Close()
	}
	return nil
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
