package logmanager

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"

	"github.com/jraft-go/jraft/internal/vfs"
	"github.com/jraft-go/jraft/raft"
)

// OwnerOf returns whose log the directory holds: that of the peer of a cluster. It takes no lock
// and changes nothing. Errors: fs.ErrNotExist if there is no log, raft.ErrCorrupt.
func OwnerOf(dir string) (cluster string, peer raft.PeerID, err error) {
	files := vfs.OS()
	names, err := files.List(dir)
	if err != nil {
		return "", "", storageError("list "+dir, err)
	}
	for _, name := range names {
		number, ok := parseSegmentName(name, segmentSuffix)
		if !ok {
			continue
		}
		who, err := ownerOf(files, path.Join(dir, name), number)
		return who.cluster, who.peer, err
	}
	return "", "", fmt.Errorf("log store: %w: no segment of a log in %s", fs.ErrNotExist, dir)
}

func ownerOf(files vfs.FS, name string, number uint64) (who identity, err error) {
	f, err := files.OpenRead(name)
	if err != nil {
		return who, storageError("open "+name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	s := &segment{name: name, number: number, file: f}
	b := make([]byte, segmentHead)
	if err := s.readAt(b, 0); err != nil {
		return who, err
	}
	if err := checkHead(name, b); err != nil {
		return who, err
	}
	return identityIn(name, b)
}

// Groups returns the groups that the store holds, sorted. It is called when Write is not.
func (s *Segments) Groups() []raft.GroupID { return slices.Sorted(maps.Keys(s.byID)) }
