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
	over, err := measureSyncs(o, fmt.Sprintf("overwrite-%d", round), syncFileBytes)
	if err != nil {
		return m, err
	}
	grow, err := measureSyncs(o, fmt.Sprintf("append-%d", round), 0)
	if err != nil {
		return m, err
	}
	m.OverwriteP50, m.AppendP50 = micros(over.percentile(50)), micros(grow.percentile(50))
	h, err := measureRoundTrips(o.time / 4)
	if err != nil {
		return m, err
	}
	m.RoundTripP50 = micros(h.percentile(50))
	return m, nil
}

const (
	syncBytes     = 512
	syncFileBytes = 4 << 20
)

// measureSyncs makes three goroutines write to three files and sync them, at the same time as
// three members with one client would: each waits for the others before it goes on.
func measureSyncs(o options, name string, size int64) (all histogram, err error) {
	var writers [members]syncWriter
	for i := range writers {
		w := &writers[i]
		path := filepath.Join(o.dir, fmt.Sprintf("%s-%d", name, i))
		if w.file, err = makeZeros(vfs.OS(), filepath.ToSlash(path), size); err != nil {
			return all, err
		}
		defer w.file.Close()
	}
	end := time.Now().Add(o.time / 2)
	for n := int64(0); time.Now().Before(end); n++ {
		var turn sync.WaitGroup
		for i := range writers {
			at := n * syncBytes
			if size > 0 {
				at %= size
			}
			turn.Go(func() { writers[i].write(at) })
		}
		turn.Wait()
	}
	for i := range writers {
		all.add(&writers[i].took)
		err = errors.Join(err, writers[i].err)
	}
	return all, err
}

type syncWriter struct {
	file vfs.File
	buf  [syncBytes]byte
	took histogram
	err  error
}

func (w *syncWriter) write(at int64) {
	begin := time.Now()
	_, err := w.file.WriteAt(w.buf[:], at)
	if err == nil {
		err = w.file.SyncData()
	}
	w.took.record(time.Since(begin))
	w.err = errors.Join(w.err, err)
}

const roundTripBytes = 64

// measureRoundTrips plays ping-pong with another process.
func measureRoundTrips(d time.Duration) (h histogram, err error) {
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
