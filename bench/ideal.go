package main

import (
	"encoding/binary"
	"errors"
	"net"
	"path"
	"slices"
	"sync"
)

// ideal is what this machine allows, and not Raft: no terms, no elections, no checks. Peers[0]
// leads for ever. What came while the last batch was written is the next batch; it goes to both
// followers and then to the own disk, and is committed when two of three have it on disk.
type ideal struct {
	listener net.Listener
	disk     disk
	lead     bool

	mu      sync.Mutex
	next    *idealBatch // being filled
	sent    []*idealBatch
	spare   []*idealBatch
	durable [3]uint64 // the last batch, by member
	err     error

	wake    chan struct{}
	conns   []net.Conn
	ending  sync.WaitGroup
	applied uint64
	calls   sync.Pool
}

// idealBatch is a frame: length of the rest, number, then each command behind its length.
type idealBatch struct {
	number  uint64
	frame   []byte
	waiting []chan error
}

const (
	idealHead = 12
	ackBytes  = 8
)

func (s *ideal) listen(_, dir string) (string, error) {
	if err := s.disk.open(path.Join(dir, "data")); err != nil {
		return "", err
	}
	var err error
	s.listener, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return s.listener.Addr().String(), nil
}

func (s *ideal) start(peers []peer) error {
	s.lead = peers[0].Addr == s.listener.Addr().String()
	if !s.lead {
		s.ending.Add(1)
		go s.follow()
		return nil
	}
	s.next, s.wake = newIdealBatch(), make(chan struct{}, 1)
	s.next.number = 1
	for i, p := range peers[1:] {
		conn, err := net.Dial("tcp", p.Addr)
		if err != nil {
			return err
		}
		s.conns = append(s.conns, conn)
		s.ending.Add(1)
		go s.takeAcks(conn, i+1)
	}
	s.ending.Add(1)
	go s.run()
	return nil
}

func (s *ideal) leads() bool   { return s.lead }
func (s *ideal) read() error   { return errNoReads }
func (s *ideal) syncs() uint64 { return s.disk.syncs() }

func (s *ideal) apply(cmd []byte) error {
	done, ok := s.calls.Get().(chan error)
	if !ok {
		done = make(chan error, 1)
	}
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return s.err
	}
	b := s.next
	first := len(b.waiting) == 0
	b.frame = binary.LittleEndian.AppendUint32(b.frame, uint32(len(cmd)))
	b.frame = append(b.frame, cmd...)
	b.waiting = append(b.waiting, done)
	s.mu.Unlock()
	if first {
		s.wake <- struct{}{}
	}
	err := <-done
	s.calls.Put(done)
	return err
}

func newIdealBatch() *idealBatch { return &idealBatch{frame: make([]byte, idealHead, 1<<20)} }

// take closes the batch that was being filled and begins the next; nil if there is none.
func (s *ideal) take() *idealBatch {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.next
	if len(b.waiting) == 0 {
		return nil
	}
	if n := len(s.spare); n > 0 {
		s.next, s.spare = s.spare[n-1], s.spare[:n-1]
	} else {
		s.next = newIdealBatch()
	}
	s.next.number = b.number + 1
	s.sent = append(s.sent, b)
	binary.LittleEndian.PutUint32(b.frame, uint32(len(b.frame)-4))
	binary.LittleEndian.PutUint64(b.frame[4:], b.number)
	return b
}

// run is the leader's only writer.
func (s *ideal) run() {
	defer s.ending.Done()
	for range s.wake {
		b := s.take()
		if b == nil {
			continue // failed meanwhile
		}
		for _, conn := range s.conns {
			if _, err := conn.Write(b.frame); err != nil {
				s.fail(err)
			}
		}
		if err := s.disk.write(b.frame); err != nil {
			s.fail(err)
		}
		s.ack(0, b.number)
	}
}

// takeAcks reads the numbers of the batches that a follower has on disk.
func (s *ideal) takeAcks(conn net.Conn, member int) {
	defer s.ending.Done()
	buf := make([]byte, 512*ackBytes)
	have := 0
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			s.fail(err)
			return
		}
		have += n
		if whole := have / ackBytes * ackBytes; whole > 0 {
			s.ack(member, binary.LittleEndian.Uint64(buf[whole-ackBytes:]))
			have = copy(buf, buf[whole:have])
		}
	}
}

// ack applies and answers what a majority has. A batch is used again once all three have it.
func (s *ideal) ack(member int, number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.durable[member] = number
	order := s.durable
	slices.Sort(order[:])
	kept := s.sent[:0]
	for _, b := range s.sent {
		if b.number <= order[1] && len(b.waiting) > 0 {
			s.applied += uint64(len(b.waiting))
			for i, done := range b.waiting {
				done <- nil
				b.waiting[i] = nil
			}
			b.waiting = b.waiting[:0]
		}
		if b.number <= order[0] {
			b.frame = b.frame[:idealHead]
			s.spare = append(s.spare, b)
		} else {
			kept = append(kept, b)
		}
	}
	clear(s.sent[len(kept):])
	s.sent = kept
}

func (s *ideal) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	for _, b := range append(s.sent, s.next) {
		for _, done := range b.waiting {
			done <- err
		}
		b.waiting = nil
	}
}

// follow writes whatever has arrived at once, and acknowledges the last of it.
func (s *ideal) follow() {
	defer s.ending.Done()
	conn, err := s.listener.Accept()
	if err != nil {
		return
	}
	defer conn.Close()
	s.mu.Lock()
	s.conns = append(s.conns, conn)
	s.mu.Unlock()
	buf, have := make([]byte, 4<<20), 0
	ack := make([]byte, ackBytes)
	for {
		n, err := conn.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		whole, last := frames(buf[:have])
		if whole > 0 {
			if err := s.disk.write(buf[:whole]); err != nil {
				return
			}
			binary.LittleEndian.PutUint64(ack, last)
			if _, err := conn.Write(ack); err != nil {
				return
			}
			have = copy(buf, buf[whole:have])
		}
		if have == len(buf) {
			buf = append(buf, make([]byte, len(buf))...)
		}
	}
}

// frames returns how many bytes of buf are whole frames, and the number of the last.
func frames(buf []byte) (whole int, last uint64) {
	for len(buf)-whole >= idealHead {
		n := 4 + int(binary.LittleEndian.Uint32(buf[whole:]))
		if n > len(buf)-whole {
			break
		}
		last = binary.LittleEndian.Uint64(buf[whole+4:])
		whole += n
	}
	return whole, last
}

func (s *ideal) stop() error {
	err := s.listener.Close()
	if s.lead {
		close(s.wake)
	}
	s.mu.Lock()
	for _, conn := range s.conns {
		err = errors.Join(err, conn.Close())
	}
	s.mu.Unlock()
	s.ending.Wait()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	return errors.Join(err, s.disk.close())
}
