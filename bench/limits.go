package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/jraft-go/jraft/internal/vfs"
)

// measureLimits measures what no system on this machine can be faster than.
func measureLimits(o options, round int) (m measurement, err error) {
	m = measurement{Type: typeLimits, Round: round}
	if m.AtOnce, err = measureSyncs(o, fmt.Sprintf("at-once-%d", round), atOnce); err != nil {
		return m, err
	}
	if m.Free, err = measureSyncs(o, fmt.Sprintf("free-%d", round), free); err != nil {
		return m, err
	}
	h, err := measureRoundTrips(o.time/4, 0)
	if err != nil {
		return m, err
	}
	m.RoundTrip = micros(h.percentile(50))
	h, err = measureRoundTrips(o.time/4, idleTime)
	m.IdleRoundTrip = micros(h.percentile(50))
	return m, err
}

const (
	syncBytes     = 512
	syncFileBytes = 4 << 20
)

// measureSyncs makes three goroutines write to three files and sync them.
func measureSyncs(
	o options, name string, play func(*[members]syncWriter, time.Time),
) (t syncTimes, err error) {
	measure := func(kind string, size int64) float64 {
		var writers [members]syncWriter
		var all histogram
		for i := range writers {
			w := &writers[i]
			w.size = size
			path := filepath.ToSlash(filepath.Join(o.dir, fmt.Sprintf("%s-%s-%d", name, kind, i)))
			if w.file, w.err = makeZeros(vfs.OS(), path, size); w.err != nil {
				err = errors.Join(err, w.err)
				return 0
			}
			defer w.file.Close()
		}
		play(&writers, time.Now().Add(o.time/4))
		for i := range writers {
			all.add(&writers[i].took)
			err = errors.Join(err, writers[i].err)
		}
		return micros(all.percentile(50))
	}
	t.Overwrite = measure("overwrite", syncFileBytes)
	t.Append = measure("append", 0)
	return t, err
}

// atOnce has the writers start together, as three members with one client would if nothing lay
// between them.
func atOnce(writers *[members]syncWriter, end time.Time) {
	for time.Now().Before(end) {
		var turn sync.WaitGroup
		for i := range writers {
			turn.Go(writers[i].write)
		}
		turn.Wait()
	}
}

// free has each writer go on as soon as it is done, so that the disk always has three syncs to do,
// none of which began with another: what the members of a group do to a disk that they share.
func free(writers *[members]syncWriter, end time.Time) {
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			for time.Now().Before(end) {
				writers[i].write()
			}
		})
	}
	all.Wait()
}

type syncWriter struct {
	file vfs.File
	size int64 // of a file to overwrite; 0: append
	at   int64
	buf  [syncBytes]byte
	took histogram
	err  error
}

func (w *syncWriter) write() {
	begin := time.Now()
	_, err := w.file.WriteAt(w.buf[:], w.at)
	if err == nil {
		err = w.file.SyncData()
	}
	w.took.record(time.Since(begin))
	w.err = errors.Join(w.err, err)
	w.at += syncBytes
	if w.size > 0 {
		w.at %= w.size
	}
}

const (
	roundTripBytes = 64
	idleTime       = 300 * time.Microsecond
)

// measureRoundTrips plays ping-pong with another process. Before each turn it waits for that long,
// as a member waits for a disk: the other side has gone to sleep by then, and so has its processor.
func measureRoundTrips(d, idle time.Duration) (h histogram, err error) {
	p, err := startProcess("echo", echoCommand)
	if err != nil {
		return h, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	conn, err := net.Dial("tcp", p.addr)
	if err != nil {
		return h, err
	}
	defer conn.Close()
	buf := make([]byte, roundTripBytes)
	for end := time.Now().Add(d); time.Now().Before(end); {
		if idle > 0 {
			<-time.After(idle)
		}
		begin := time.Now()
		if _, err := conn.Write(buf); err != nil {
			return h, err
		}
		if _, err := io.ReadFull(conn, buf); err != nil {
			return h, err
		}
		h.record(time.Since(begin))
	}
	return h, nil
}

// runEcho is the other process. It ends when whoever plays with it hangs up or ends.
func runEcho(in io.Reader, out io.Writer) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	if err := json.NewEncoder(out).Encode(answer{Addr: listener.Addr().String()}); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, in)
		listener.Close()
	}()
	conn, err := listener.Accept()
	if err != nil {
		return nil // nobody wants to play any more
	}
	buf := make([]byte, roundTripBytes)
	for {
		if _, err := io.ReadFull(conn, buf); err != nil {
			return conn.Close()
		}
		if _, err := conn.Write(buf); err != nil {
			return err
		}
	}
}
