package grpctransport

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
	"github.com/jraft-go/jraft/transport/transporttest"
)

// The benchmarks compare the transport with the same encoding over plain TCP, both ends in this
// process:
//
//	go test -run '^$' -bench . ./transport/grpctransport

// appendOf returns an append of n entries of 128 bytes.
func appendOf(n int) []raft.Message {
	a := &raft.AppendEntries{}
	for i := range n {
		e, _ := raft.MakeEntry(nil, 7, raft.Index(i+1), raft.EntryCommand, make([]byte, 128))
		a.Entries = append(a.Entries, e)
	}
	return []raft.Message{transporttest.Message("g", a)}
}

// counter is a handler that counts, and calls then for each batch received.
type counter struct {
	n    atomic.Int64
	then func()
}

func (c *counter) Receive(msgs []raft.Message) {
	c.n.Add(int64(len(msgs)))
	if c.then != nil {
		c.then()
	}
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// pingPong reports the median time of trip.
func pingPong(b *testing.B, trip func()) {
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		trip()
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func BenchmarkOneInFlight(b *testing.B) {
	b.Run("grpc", func(b *testing.B) {
		x, y := open(b, local), open(b, local)
		back := make(chan struct{}, 1)
		answer := heartbeat(1)
		answer[0].From, answer[0].To = "B", "A"
		hx := &counter{then: func() { back <- struct{}{} }}
		hy := &counter{then: func() { y.Send(x.Addr(), answer) }}
		require.NoError(b, x.Register(transport.Member{Cluster: "c", Group: "g", ID: "A"}, hx))
		require.NoError(b, y.Register(transport.Member{Cluster: "c", Group: "g", ID: "B"}, hy))
		msgs := appendOf(1)
		x.Send(y.Addr(), msgs)
		<-back
		pingPong(b, func() { x.Send(y.Addr(), msgs); <-back })
	})
	b.Run("tcp", func(b *testing.B) {
		x, y := tcpPair(b)
		answer := transport.Encode(nil, &heartbeat(1)[0])
		go func() {
			for readMessage(y) == nil {
				if writeMessage(y, answer) != nil {
					return
				}
			}
		}()
		msgs := appendOf(1)
		buf := make([]byte, 0, 1024)
		pingPong(b, func() {
			require.NoError(b, writeMessage(x, transport.Encode(buf, &msgs[0])))
			require.NoError(b, readMessage(x))
		})
	})
}

func BenchmarkPipelined64x128(b *testing.B) {
	const window = 32
	b.Run("grpc", func(b *testing.B) {
		x, y := open(b, local), open(b, local)
		free := make(chan struct{}, window)
		for range window {
			free <- struct{}{}
		}
		h := &counter{}
		var seen int64
		h.then = func() {
			for ; seen < h.n.Load(); seen++ {
				free <- struct{}{}
			}
		}
		require.NoError(b, x.Register(transport.Member{Cluster: "c", Group: "g", ID: "A"}, &counter{}))
		require.NoError(b, y.Register(transport.Member{Cluster: "c", Group: "g", ID: "B"}, h))
		msgs := appendOf(64)
		before := cpu(b)
		for b.Loop() {
			<-free
			x.Send(y.Addr(), msgs)
		}
		for range window {
			<-free
		}
		b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N)/1000, "cpu-µs/op")
		require.Zero(b, x.Stats().Peers[y.Addr()].Dropped)
	})
	b.Run("tcp", func(b *testing.B) {
		x, y := tcpPair(b)
		free := make(chan struct{}, window)
		for range window {
			free <- struct{}{}
		}
		go func() {
			for readMessage(y) == nil {
				free <- struct{}{}
			}
		}()
		msgs := appendOf(64)
		buf := make([]byte, 0, transport.EncodedBytes(&msgs[0]))
		before := cpu(b)
		for b.Loop() {
			<-free
			require.NoError(b, writeMessage(x, transport.Encode(buf, &msgs[0])))
		}
		for range window {
			<-free
		}
		b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N)/1000, "cpu-µs/op")
	})
}

func tcpPair(b *testing.B) (x, y net.Conn) {
	l, err := net.Listen("tcp", local)
	require.NoError(b, err)
	defer l.Close()
	x, err = net.Dial("tcp", l.Addr().String())
	require.NoError(b, err)
	y, err = l.Accept()
	require.NoError(b, err)
	b.Cleanup(func() { _, _ = x.Close(), y.Close() })
	return x, y
}

func writeMessage(c net.Conn, wire []byte) error {
	head := binary.LittleEndian.AppendUint32(nil, uint32(len(wire)))
	_, err := (&net.Buffers{head, wire}).WriteTo(c)
	return err
}

func readMessage(c net.Conn) error {
	var head [lengthBytes]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return err
	}
	b := make([]byte, binary.LittleEndian.Uint32(head[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return err
	}
	_, err := transport.Decode(b)
	return err
}

// BenchmarkFetch1MiB fetches chunks of a snapshot, four at once, into memory that is used again.
func BenchmarkFetch1MiB(b *testing.B) {
	x, y := open(b, local, WithCluster("c")), open(b, local)
	serving(b, y, chunkOf(1<<20))
	b.SetBytes(1 << 20)
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	before := cpu(b)
	b.ResetTimer()
	for range 4 {
		wg.Go(func() {
			c := transporttest.FetchCall("s")
			c.Into = make([]byte, 1<<20)
			for left.Add(-1) >= 0 {
				if _, err := x.Fetch(b.Context(), y.Addr(), c, nil); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric((cpu(b)-before).Seconds()*1024/float64(b.N), "cpu-s/GiB")
}
