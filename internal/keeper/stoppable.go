package keeper

import (
	"context"
	"io"

	"github.com/jraft-go/jraft/snapshot"
)

// stoppable is a snapshot being restored whose reading ends when the member does, so that Stop need
// not wait for the rest of a large one.
type stoppable struct {
	snapshot.Reader
	life context.Context
}

// Read implements io.Reader.
func (s stoppable) Read(p []byte) (int, error) {
	if err := context.Cause(s.life); err != nil {
		return 0, err
	}
	return s.Reader.Read(p)
}

// OpenFile implements fsm.SnapshotReader.
func (s stoppable) OpenFile(name string) (io.ReadCloser, error) {
	f, err := s.Reader.OpenFile(name)
	if err != nil {
		return nil, err
	}
	return stoppableFile{f, s.life}, nil
}

type stoppableFile struct {
	io.ReadCloser
	life context.Context
}

// Read implements io.Reader.
func (s stoppableFile) Read(p []byte) (int, error) {
	if err := context.Cause(s.life); err != nil {
		return 0, err
	}
	return s.ReadCloser.Read(p)
}
