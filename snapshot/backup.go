package snapshot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/jraft-go/jraft/raft"
)

const (
	exportMagic   = "JRAFTEXP"
	exportEnd     = "JRAFTEND"
	exportVersion = 1
	exportHead    = 12
	// exportEndBytes is the size of the mark at the end.
	exportEndBytes = 12
)

// Export writes a whole snapshot: head, manifest, the content of all files, and a mark at the end
// by which a stream that was cut off is told from a whole one.
func (f *Files) Export(w io.Writer, last raft.LogID) error {
	k, err := f.use(last)
	if err != nil {
		return err
	}
	defer f.release(k)
	head := binary.LittleEndian.AppendUint32([]byte(exportMagic), exportVersion)
	if _, err := w.Write(append(head, k.manifest.raw...)); err != nil {
		return fmt.Errorf("snapshot: export: %w", err)
	}
	var refused error // by w, whose errors say nothing about what is on disk
	err = f.contents(k, func(chunk []byte) error {
		_, refused = w.Write(chunk)
		return refused
	})
	if err != nil && refused == nil {
		return f.checked(k, err)
	}
	if refused == nil {
		end := binary.LittleEndian.AppendUint32([]byte(exportEnd), k.manifest.sum)
		_, refused = w.Write(end)
	}
	if refused != nil {
		return fmt.Errorf("snapshot: export: %w", refused)
	}
	return nil
}

// Import reads what Export wrote and publishes it. It does not read beyond its end.
func (f *Files) Import(r io.Reader) (meta raft.SnapshotMeta, err error) {
	m, err := readExportHead(r)
	if err != nil {
		return meta, err
	}
	if err := f.ours(m); err != nil {
		return meta, err
	}
	w, err := f.create(m)
	if err != nil {
		return meta, err
	}
	for i := range m.files {
		if err := w.importFile(r, i); err != nil {
			w.Abort()
			return meta, err
		}
	}
	if err := readExportEnd(r, m); err != nil {
		w.Abort()
		return meta, err
	}
	return w.complete()
}

func readExportEnd(r io.Reader, m *manifest) error {
	end := make([]byte, exportEndBytes)
	if err := readFull(r, end); err != nil {
		return err
	}
	if string(end[:8]) != exportEnd || binary.LittleEndian.Uint32(end[8:]) != m.sum {
		return fmt.Errorf("snapshot: %w: the exported snapshot does not end where it should",
			raft.ErrCorrupt)
	}
	return nil
}

func readExportHead(r io.Reader) (*manifest, error) {
	head := make([]byte, exportHead+manifestHead)
	if err := readFull(r, head); err != nil {
		return nil, err
	}
	if string(head[:8]) != exportMagic {
		return nil, fmt.Errorf("snapshot: %w: this is no exported snapshot", raft.ErrCorrupt)
	}
	if v := binary.LittleEndian.Uint32(head[8:]); v != exportVersion {
		return nil, fmt.Errorf("snapshot: import: %w: format %d, this program reads format %d: "+
			"run the newer program", errVersion, v, exportVersion)
	}
	size, err := manifestSize(head[exportHead:])
	if err != nil {
		return nil, failed("import", err)
	}
	raw := make([]byte, size)
	n := copy(raw, head[exportHead:])
	if err := readFull(r, raw[n:]); err != nil {
		return nil, err
	}
	m, err := decodeManifest(raw)
	return m, failed("import", err)
}

// importFile reads the content of file i from r.
func (w *writer) importFile(r io.Reader, i int) error {
	e := &w.m.files[i]
	name := path.Join(w.dir, contentName(i))
	out, err := createOutput(w.store.files, name)
	if err != nil {
		return failed("create "+name, err)
	}
	buf := make([]byte, min(e.Size, ChunkBytes))
	for c := 0; c < e.chunks() && err == nil; c++ {
		chunk := buf[:e.chunkSize(c)]
		if err = readFull(r, chunk); err == nil && !e.sound(c, chunk) {
			err = fmt.Errorf("%w: chunk %d of file %q has a wrong checksum", raft.ErrCorrupt, c, e.Name)
		}
		if err == nil {
			err = out.add(chunk)
		}
	}
	if err == nil && !out.sum.matches(e) {
		err = fmt.Errorf("%w: file %q is not what the manifest says", raft.ErrCorrupt, e.Name)
	}
	return failed("import", errors.Join(err, out.finish()))
}

func readFull(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("snapshot: %w: the exported snapshot is cut off", raft.ErrCorrupt)
	}
	return failed("import", err)
}
