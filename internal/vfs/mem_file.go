package vfs

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
)

// SectorBytes is the size of the smallest piece that a [Mem] writes wholly or not at all in a
// crash.
const SectorBytes = 512

// sector is never changed once it is in a file: durable and current content share it. nil stands
// for zeros.
type sector = [SectorBytes]byte

var zeroSector sector

// extent is a file's content at one moment.
type extent struct {
	sectors []*sector
	size    int64
}

// memContent is a file: what is durable, what a reader sees now, and the changes that lead from one
// to the other.
type memContent struct {
	durable, now extent
	pending      []change
}

// change is one un-synced step: a sector's new content, or (at < 0) a new size.
type change struct {
	at   int
	to   *sector
	size int64
}

func (e *extent) apply(c change) {
	if c.at >= 0 {
		for len(e.sectors) <= c.at {
			e.sectors = append(e.sectors, nil)
		}
		e.sectors[c.at] = c.to
		return
	}
	e.size = c.size
	e.trim()
}

// trim drops what lies beyond the size, so that a file that grows again shows zeros there.
func (e *extent) trim() {
	whole := int((e.size + SectorBytes - 1) / SectorBytes)
	if len(e.sectors) > whole {
		clear(e.sectors[whole:])
		e.sectors = e.sectors[:whole]
	}
	rest := int(e.size % SectorBytes)
	if rest == 0 {
		return
	}
	if last := e.sector(whole - 1); last != nil {
		cut := new(sector)
		copy(cut[:rest], last[:])
		e.sectors[whole-1] = cut
	}
}

func (e *extent) sector(i int) *sector {
	if i < len(e.sectors) {
		return e.sectors[i]
	}
	return nil
}

func (c *memContent) step(ch change) {
	c.now.apply(ch)
	c.pending = append(c.pending, ch)
}

func (c *memContent) write(p []byte, off int64) {
	if end := off + int64(len(p)); end > c.now.size {
		c.step(change{at: -1, size: end})
	}
	count := int((off+int64(len(p))-1)/SectorBytes-off/SectorBytes) + 1
	var slab []sector
	for len(p) > 0 {
		i, from := int(off/SectorBytes), int(off%SectorBytes)
		n := min(len(p), SectorBytes-from)
		old := c.now.sector(i)
		if old == nil && string(p[:n]) == string(zeroSector[:n]) && c.durable.sector(i) == nil {
			// Zeros over zeros change nothing but the size.
		} else {
			if len(slab) == 0 {
				slab = make([]sector, min(count, 64))
			}
			s := &slab[0]
			slab = slab[1:]
			if old != nil {
				*s = *old
			}
			copy(s[from:], p[:n])
			c.step(change{at: i, to: s})
		}
		p, off, count = p[n:], off+int64(n), count-1
	}
}

func (c *memContent) read(p []byte, off int64) int {
	if off >= c.now.size {
		return 0
	}
	p = p[:min(int64(len(p)), c.now.size-off)]
	for done := 0; done < len(p); {
		at := off + int64(done)
		from := int(at % SectorBytes)
		n := min(len(p)-done, SectorBytes-from)
		if s := c.now.sector(int(at / SectorBytes)); s != nil {
			copy(p[done:done+n], s[from:])
		} else {
			clear(p[done : done+n])
		}
		done += n
	}
	return len(p)
}

func (c *memContent) sync() {
	for _, ch := range c.pending {
		c.durable.apply(ch)
	}
	c.pending = c.pending[:0]
}

// crash leaves what a power loss leaves. Of the changes to one sector the last one kept wins, so
// that a sector shows one of the contents that it really had.
func (c *memContent) crash(keep Keep, rng *rand.Rand) {
	for _, ch := range c.pending {
		if keep == KeepAll || keep == KeepSome && rng.Uint64()&1 == 1 {
			c.durable.apply(ch)
		}
	}
	c.durable.trim()
	c.pending = nil
	c.now = extent{append([]*sector(nil), c.durable.sectors...), c.durable.size}
}

// memFile is an open file of a [Mem].
type memFile struct {
	mem    *Mem
	node   *memNode
	name   string
	life   int
	closed bool
}

// begin counts an operation on the file and tells whether it may go on. The lock is held.
func (f *memFile) begin(op Op) error {
	switch {
	case f.closed:
		return pathError(op.String(), f.name, fs.ErrClosed)
	case f.life != f.mem.life:
		return pathError(op.String(), f.name, ErrCrashed)
	}
	return f.mem.begin(op, f.name)
}

// ReadAt reads from what was written, durable or not.
func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.begin(OpRead); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", f.name, fs.ErrInvalid)
	}
	n := f.node.read(p, off)
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes; nothing of it is durable yet. When the space runs out, the part that fits is
// written.
func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.begin(OpWrite); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("write", f.name, fs.ErrInvalid)
	}
	fits := len(p)
	if f.mem.space >= 0 {
		fits = int(min(int64(fits), f.mem.space))
		f.mem.space -= int64(fits)
	}
	if fits > 0 {
		f.node.write(p[:fits], off)
	}
	if fits < len(p) {
		return fits, pathError("write", f.name, ErrNoSpace)
	}
	return fits, nil
}

// Truncate sets the size.
func (f *memFile) Truncate(size int64) error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.begin(OpTruncate); err != nil {
		return err
	}
	if size < 0 {
		return pathError("truncate", f.name, fs.ErrInvalid)
	}
	f.node.step(change{at: -1, size: size})
	return nil
}

// Allocate takes the space at once, or fails and takes nothing.
func (f *memFile) Allocate(size int64) error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.begin(OpTruncate); err != nil {
		return err
	}
	more := size - f.node.now.size
	if more <= 0 {
		return nil
	}
	if f.mem.space >= 0 {
		if f.mem.space < more {
			return pathError("allocate", f.name, ErrNoSpace)
		}
		f.mem.space -= more
	}
	f.node.step(change{at: -1, size: size})
	return nil
}

// Sync makes content and size durable. Where it fails by a fault that was set, it forgets what it
// had to write: readers see it still, and no later sync will write it, as with the kernels that
// mark pages as clean after an error.
func (f *memFile) Sync() error { return f.syncAs(OpSync) }

// SyncData does the same as Sync, and is counted apart.
func (f *memFile) SyncData() error { return f.syncAs(OpSyncData) }

func (f *memFile) syncAs(op Op) error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.begin(op); err != nil {
		if !errors.Is(err, ErrCrashed) {
			f.node.pending = nil
		}
		return err
	}
	f.node.sync()
	return nil
}

// Size returns the size as written.
func (f *memFile) Size() (int64, error) {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if err := f.begin(OpRead); err != nil {
		return 0, err
	}
	return f.node.now.size, nil
}

// Close closes the file; what was not synced stays un-synced.
func (f *memFile) Close() error {
	f.mem.mu.Lock()
	defer f.mem.mu.Unlock()
	if f.closed {
		return pathError("close", f.name, fs.ErrClosed)
	}
	f.closed = true
	return nil
}
