package snapshot

import (
	"sync"

	"github.com/jraft-go/jraft/internal/vfs"
)

// OpenDir is [Open] on the operating system's files: the store that a member uses.
func OpenDir(dir string, o Options) (*Files, error) { return Open(vfs.OS(), dir, o) }

// guard lets one goroutine at a time pass. A store is used by those that save, fetch, serve and
// restore.
type guard struct{ mu sync.Mutex }

// hold waits for its turn and returns what ends it.
func (g *guard) hold() (release func()) {
	g.mu.Lock()
	return g.mu.Unlock
}
