package node_test

import (
	"bytes"
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/jraft-go/jraft/fsm"
	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// dictionary replicates a map. A command is "key=value".
type dictionary struct {
	mu    sync.Mutex // Apply runs beside whoever reads
	words map[string]string
}

func (d *dictionary) Apply(e raft.Entry) any {
	key, value, _ := strings.Cut(string(e.Data), "=")
	d.mu.Lock()
	defer d.mu.Unlock()
	d.words[key] = value
	return len(d.words)
}

// Snapshot pins the state with a copy of the map. The strings are shared: they never change. For a
// map too large to be copied between two Applies, a persistent one (a tree whose nodes are never
// changed in place) is pinned by keeping its root. A database that has read transactions, like
// bbolt, is pinned by beginning one; Save is its WriteTo, and Release its Rollback.
func (d *dictionary) Snapshot() (fsm.Saver, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return dictionarySaver(maps.Clone(d.words)), nil
}

type dictionarySaver map[string]string

// Save runs while commands are applied. The writer fails when the member stops, and this with it.
func (s dictionarySaver) Save(_ context.Context, w fsm.SnapshotWriter) error {
	return gob.NewEncoder(w).Encode(map[string]string(s))
}

func (dictionarySaver) Release() {}

// Restore replaces all there was.
func (d *dictionary) Restore(r fsm.SnapshotReader) error {
	words := map[string]string{}
	if err := gob.NewDecoder(r).Decode(&words); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.words = words
	return nil
}

func ExampleNode_Snapshot() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "dictionary")
	defer os.RemoveAll(dir)
	o := node.Options{
		ID: "n1", Dir: dir, StateMachine: &dictionary{words: map[string]string{}},
		Peers:     []raft.Peer{{ID: "n1", Addr: "localhost:7001"}},
		Transport: transport.NewNetwork(1).Transport("localhost:7001"),
	}
	n, err := node.Start(o)
	if err != nil {
		panic(err)
	}
	n.Apply(ctx, []byte("raft=a thing that floats"))
	meta, err := n.Snapshot(ctx) // the policy would, in time
	fmt.Println(meta.Files, err)
	n.Apply(ctx, []byte("oar=what moves it"))
	n.Stop(ctx)

	again := &dictionary{words: map[string]string{}}
	o.StateMachine = again
	if n, err = node.Start(o); err != nil { // restores the snapshot, and applies what follows
		panic(err)
	}
	defer n.Stop(ctx)
	words, err := node.Query(ctx, n, func() ([]string, error) {
		again.mu.Lock()
		defer again.mu.Unlock()
		return slices.Sorted(maps.Keys(again.words)), nil
	})
	fmt.Println(words, err)
	// Output:
	// 0 <nil>
	// [oar raft] <nil>
}

// album replicates files. A command is "name=content".
type album struct {
	dir   string
	names map[string]bool
}

// Apply never changes a file that is there: it writes another one and gives it the name. A snapshot
// that has the old one linked keeps it as it was.
func (a *album) Apply(e raft.Entry) any {
	name, content, _ := strings.Cut(string(e.Data), "=")
	if err := a.write(name, strings.NewReader(content)); err != nil {
		panic(err) // this member can't go on; the others can
	}
	return nil
}

func (a *album) write(name string, content io.Reader) error {
	b, err := io.ReadAll(content)
	if err != nil {
		return err
	}
	temporary := filepath.Join(a.dir, "new")
	if err := os.WriteFile(temporary, b, 0o600); err != nil {
		return err
	}
	a.names[name] = true
	return os.Rename(temporary, filepath.Join(a.dir, "p-"+name))
}

// Snapshot pins the files by links of its own, because Save runs when names may stand for others
// already.
func (a *album) Snapshot() (fsm.Saver, error) {
	pinned, err := os.MkdirTemp(a.dir, "pinned")
	if err != nil {
		return nil, err
	}
	s := &albumSaver{pinned, slices.Sorted(maps.Keys(a.names))}
	for _, name := range s.names {
		if err := os.Link(filepath.Join(a.dir, "p-"+name), filepath.Join(pinned, name)); err != nil {
			s.Release()
			return nil, err
		}
	}
	return s, nil
}

type albumSaver struct {
	pinned string
	names  []string
}

func (s *albumSaver) Save(_ context.Context, w fsm.SnapshotWriter) error {
	for _, name := range s.names {
		if err := w.AddFile(name, filepath.Join(s.pinned, name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *albumSaver) Release() { os.RemoveAll(s.pinned) }

// Restore replaces all there was. What the directory holds at the start does not matter: it is the
// snapshot, and the log after it, that the state is made of.
func (a *album) Restore(r fsm.SnapshotReader) error {
	if err := os.RemoveAll(a.dir); err != nil {
		return err
	}
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return err
	}
	a.names = map[string]bool{}
	for _, name := range r.Files() {
		f, err := r.OpenFile(name)
		if err != nil {
			return err
		}
		err = a.write(name, f)
		f.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func ExampleImport() {
	ctx := context.Background()
	dir, _ := os.MkdirTemp("", "album")
	defer os.RemoveAll(dir)
	newAlbum := func(name string) *album {
		a := &album{filepath.Join(dir, name), map[string]bool{}}
		os.MkdirAll(a.dir, 0o700)
		return a
	}
	o := node.Options{
		ID: "n1", Dir: filepath.Join(dir, "old"), StateMachine: newAlbum("old-album"),
		Peers:     []raft.Peer{{ID: "n1", Addr: "localhost:7002"}},
		Transport: transport.NewNetwork(1).Transport("localhost:7002"),
	}
	n, err := node.Start(o)
	if err != nil {
		panic(err)
	}
	n.Apply(ctx, []byte("sea=blue"))
	n.Apply(ctx, []byte("hill=green"))
	var backup bytes.Buffer // a file, in earnest
	meta, err := n.Backup(ctx, &backup)
	fmt.Println(meta.Files, err)
	n.Stop(ctx)

	restored := newAlbum("new-album")
	o.Dir, o.StateMachine = filepath.Join(dir, "new"), restored
	if _, err := node.Import(o, &backup); err != nil { // likewise for each other member
		panic(err)
	}
	if n, err = node.Start(o); err != nil {
		panic(err)
	}
	defer n.Stop(ctx)
	hill, err := os.ReadFile(filepath.Join(restored.dir, "p-hill"))
	fmt.Println(string(hill), err)
	// Output:
	// 2 <nil>
	// green <nil>
}
