package grpctransport

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// This file alone imports packages encoding and mem, which gRPC calls experimental.

// A frame is one gRPC message of a stream, little endian; a message's own checksum guards it:
//
//	0  version  uint8, 1
//	1  flags    uint8; 1: answer this with a pong; 2: this is the pong. Others are ignored
//	2  messages, up to the end: each a uint32 length and that many bytes, see package transport
const (
	frameVersion   = 1
	frameHeadBytes = 2
	lengthBytes    = 4

	flagPing = 1
	flagPong = 2
)

// outgoing is a frame to be sent.
type outgoing struct {
	flags byte
	msgs  []raft.Message
	bytes int            // what msgs take, lengths included; at most
	pool  mem.BufferPool // for the frame; nil: gRPC's
}

// incoming is a frame received. Each message that carries entries or commands owns the memory they
// are in, of just their size; nothing refers to gRPC's buffers, which go back to their pool.
type incoming struct {
	flags           byte
	maxMessageBytes int

	msgs      []raft.Message
	bytes     int
	malformed int   // messages that did not decode, and were left out
	why       error // of the last of these
}

// request is a fetch's request, as [transport.EncodeRequest] writes it.
type request struct{ wire []byte }

func (r *request) read(data mem.BufferSlice) error {
	if data.Len() > transport.MaxRequestFrameBytes {
		return fmt.Errorf("%w: request of %d bytes", raft.ErrTooLarge, data.Len())
	}
	r.wire = data.Materialize()
	return nil
}

// served is a reply on its way out, by reference. It is also the mem.BufferPool that gRPC gives the
// reply back to.
type served struct {
	reply   []byte
	release func()
}

// Put is called when gRPC is done with the reply.
func (s *served) Put(*[]byte) { s.release() }

// Get completes mem.BufferPool; a pool of one buffer that is taken is never asked for another.
func (*served) Get(length int) *[]byte {
	b := make([]byte, length)
	return &b
}

// fetched is a reply that came in, copied once.
type fetched struct{ into, reply []byte }

// codec turns frames into gRPC messages. Everything else it leaves to protobuf's codec, so that a
// server made to use it for all its services still speaks protobuf with the others, health checks
// among them. The other way, to register it by name, would put it into a list that is global to the
// process.
type codec struct{}

// callCodec makes a stream that this side opens use the codec, serverCodec a server.
func callCodec() grpc.CallOption     { return grpc.ForceCodecV2(codec{}) }
func serverCodec() grpc.ServerOption { return grpc.ForceServerCodecV2(codec{}) }

// speaks reports whether the server that received the stream uses the codec.
func speaks(stream grpc.ServerStream) bool {
	var p grpc.PreparedMsg
	return p.Encode(stream, &outgoing{}) == nil
}

// Name is the codec's name in the streams' content type, "application/grpc+jraft.v1".
func (codec) Name() string { return "jraft.v1" }

// Marshal writes an outgoing frame into a pooled buffer, which gRPC gives back once it is sent.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case *request:
		return mem.BufferSlice{mem.SliceBuffer(v.wire)}, nil
	case *served:
		return mem.BufferSlice{mem.NewBuffer(&v.reply, v)}, nil
	}
	f, ok := v.(*outgoing)
	if !ok {
		return encoding.GetCodecV2(proto.Name).Marshal(v)
	}
	pool := f.pool
	if pool == nil {
		pool = mem.DefaultBufferPool()
	}
	buf := pool.Get(frameHeadBytes + f.bytes)
	b := append((*buf)[:0], frameVersion, f.flags)
	for i := range f.msgs {
		at := len(b)
		b = transport.Encode(append(b, 0, 0, 0, 0), &f.msgs[i])
		binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-lengthBytes))
	}
	*buf = b
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

// framePool keeps the buffers of sent frames for the next ones. gRPC's own pool has no size between
// 32 KiB and 1 MiB, and clears each buffer before it is used again.
type framePool struct{ buffers sync.Pool }

// Get implements mem.BufferPool.
func (p *framePool) Get(length int) *[]byte {
	if mem.IsBelowBufferPoolingThreshold(length) { // gRPC does not give these back
		b := make([]byte, length)
		return &b
	}
	if b, ok := p.buffers.Get().(*[]byte); ok && cap(*b) >= length {
		*b = (*b)[:length]
		return b
	}
	b := make([]byte, length, length+length/4) // the next frames are of about that size
	return &b
}

// Put implements mem.BufferPool.
func (p *framePool) Put(b *[]byte) {
	if cap(*b) <= 2*frameBytes {
		p.buffers.Put(b)
	}
}

// Unmarshal reads an incoming frame. Each message is copied, once, into memory of its own.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	switch v := v.(type) {
	case *request:
		return v.read(data)
	case *fetched:
		v.reply = slices.Grow(v.into[:0], data.Len())[:data.Len()]
		data.CopyTo(v.reply)
		return nil
	}
	f, ok := v.(*incoming)
	if !ok {
		return encoding.GetCodecV2(proto.Name).Unmarshal(data, v)
	}
	r := data.Reader()
	defer r.Close()
	var head [lengthBytes]byte
	if _, err := io.ReadFull(r, head[:frameHeadBytes]); err != nil {
		return fmt.Errorf("%w: frame of %d bytes", raft.ErrCorrupt, data.Len())
	}
	if head[0] != frameVersion {
		return fmt.Errorf("%w %d of a frame, this side speaks %d", transport.ErrWireVersion, head[0],
			frameVersion)
	}
	f.flags, f.bytes = head[1], data.Len()
	for r.Remaining() > 0 {
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return fmt.Errorf("%w: frame of %d bytes ends inside a length", raft.ErrCorrupt, data.Len())
		}
		n := int64(binary.LittleEndian.Uint32(head[:]))
		if n > int64(min(r.Remaining(), f.maxMessageBytes)) {
			return fmt.Errorf("%w: frame of %d bytes announces a message of %d", raft.ErrCorrupt,
				data.Len(), n)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return fmt.Errorf("%w: frame of %d bytes: %w", raft.ErrCorrupt, data.Len(), err)
		}
		m, err := transport.Decode(b)
		if err != nil {
			f.malformed++
			f.why = err
			continue
		}
		f.msgs = append(f.msgs, m)
	}
	return nil
}
