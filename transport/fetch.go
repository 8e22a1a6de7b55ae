package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jraft-go/jraft/raft"
)

// Bounds of fetches.
const (
	// MaxRequestBytes bounds a request.
	MaxRequestBytes = 64 << 10
	// MaxServes is how many requests one process serves at once; those beyond are refused with
	// [raft.ErrBusy].
	MaxServes = 16
	// MaxFetchTime bounds one fetch, whatever its context allows.
	MaxFetchTime = 30 * time.Second
)

// What a fetch returns, wrapped, besides the errors of its context and of package raft:
// [raft.ErrWrongCluster], [raft.ErrBusy] (try again later), [raft.ErrTooLarge], [raft.ErrStopped]
// (this side was closed), [raft.ErrCorrupt].
var (
	// ErrUnreachable: no answer came, and maybe the request did not arrive. Try again, or elsewhere.
	ErrUnreachable = errors.New("peer can't be reached")
	// ErrNoMember: the process at that address runs no such member, at the moment.
	ErrNoMember = errors.New("no such member there")
	// ErrNoServer: the member's handler is no [Server].
	ErrNoServer = errors.New("the member serves no requests")
	// ErrServe: the member's [Server] returned an error, whose text follows.
	ErrServe = errors.New("the member could not serve the request")
)

// Call says between which members a fetch goes, and where its reply is put.
type Call struct {
	Cluster string
	Group   raft.GroupID
	From    raft.PeerID // the member that asks
	To      raft.PeerID // the member asked
	// Into is memory for the reply, up to its capacity; a larger reply gets new memory, and so does
	// every reply where it is nil. The caller may use it again as soon as Fetch has returned. It is
	// not sent.
	Into []byte
}

func (c *Call) destination() Member { return Member{c.Cluster, c.Group, c.To} }

// Server is what a [Handler] may implement besides, to answer the requests of [Transport].Fetch.
//
// Serve answers one request of the member from; on a transport with certificates its certificate
// named it. It may take its time, and is called from several goroutines, at most [MaxServes] at
// once in a process. It must return soon after ctx ends, which happens when the asking side gives
// up, when the member is unregistered and when the transport is closed. The request is only Serve's
// while it runs. The reply, at most as large as a message may be, must not be changed afterwards; a
// Server that wants to use its memory again is a [Releaser]. An error reaches the asking side as
// text only, wrapped in [ErrServe].
type Server interface {
	Serve(ctx context.Context, from raft.PeerID, request []byte) (reply []byte, err error)
}

// Releaser is what a [Server] may implement besides. Release says that the transport no longer
// refers to a reply of Serve's. It is called once for a reply or, when it was small or the
// connection broke, never; from any goroutine, also after Unregister.
type Releaser interface{ Release(reply []byte) }

// EncodeRequest returns a request as it travels: like a message of a kind of its own in term 0,
// whose body is the request. An error wraps [raft.ErrTooLarge].
func EncodeRequest(c *Call, request []byte) ([]byte, error) {
	if len(request) > MaxRequestBytes {
		return nil, fmt.Errorf("%w: request of %d bytes, at most %d are allowed", raft.ErrTooLarge,
			len(request), MaxRequestBytes)
	}
	n := minBytes + len(c.Cluster) + len(c.Group) + len(c.From) + len(c.To) + len(request)
	b := append(make([]byte, 0, n), WireVersion, kindRequest, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, 0)
	b = appendID(appendID(b, c.Cluster), string(c.Group))
	b = appendID(appendID(b, string(c.From)), string(c.To))
	b = append(b, request...)
	binary.LittleEndian.PutUint32(b[headAt:], uint32(len(b)))
	return binary.LittleEndian.AppendUint32(b, raft.Checksum(b)), nil
}

// MaxRequestFrameBytes bounds what [EncodeRequest] returns.
const MaxRequestFrameBytes = minBytes + 4*raft.MaxIDBytes + MaxRequestBytes

// DecodeRequest reads what [EncodeRequest] wrote. The request keeps using b's memory. Errors are
// those of [Decode].
func DecodeRequest(b []byte) (Call, []byte, error) {
	head, rest, err := decodeHead(b)
	if err != nil {
		return Call{}, nil, err
	}
	m, request, err := decodeEnvelope(head)
	switch {
	case err != nil:
		return Call{}, nil, err
	case b[kindAt] != kindRequest:
		return Call{}, nil, corrupt("message of kind %d where a request is due", b[kindAt])
	case m.Term != 0 || len(rest) > 0 || len(request) > MaxRequestBytes:
		return Call{}, nil, corrupt("request of %d bytes, term %d, %d bytes after it", len(request),
			m.Term, len(rest))
	}
	return Call{Cluster: m.Cluster, Group: m.Group, From: m.From, To: m.To}, request, nil
}

// Serve has the member that is meant answer a request, after checking that it is one of this
// process: the cluster before anything else. The release function, never nil, must be called once
// the reply is not referred to any more. Errors are those of [Transport].Fetch.
func (r *Registry) Serve(ctx context.Context, c *Call, request []byte) ([]byte, func(), error) {
	nothing := func() {}
	reg, err := r.addressee(c)
	if err != nil {
		return nil, nothing, err
	}
	server, ok := reg.handler.(Server)
	if !ok {
		return nil, nothing, fmt.Errorf("transport: group %s, member %s: %w", c.Group, c.To, ErrNoServer)
	}
	if r.serves.Add(1) > MaxServes {
		r.serves.Add(-1)
		return nil, nothing, fmt.Errorf("transport: %w: %d requests are being served", raft.ErrBusy,
			MaxServes)
	}
	defer r.serves.Add(-1)
	if !reg.enter() {
		return nil, nothing, fmt.Errorf("transport: group %s, member %s: %w", c.Group, c.To, ErrNoMember)
	}
	defer reg.serving.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(reg.life, cancel)()
	reply, err := server.Serve(ctx, c.From, request)
	if err != nil {
		return nil, nothing, fmt.Errorf("%w: %v", ErrServe, err)
	}
	if s, ok := server.(Releaser); ok {
		return reply, func() { s.Release(reply) }, nil
	}
	return reply, nothing, nil
}

// addressee returns the member that a call is for.
func (r *Registry) addressee(c *Call) (*registration, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.pinned && c.Cluster != r.cluster {
		return nil, fmt.Errorf("transport: %w: the request is of cluster %.64q, this side of %q",
			raft.ErrWrongCluster, c.Cluster, r.cluster)
	}
	reg := r.members[c.Group]
	if reg == nil || reg.member != c.destination() {
		return nil, fmt.Errorf("transport: group %s, member %s: %w", c.Group, c.To, ErrNoMember)
	}
	return reg, nil
}

// enter begins a call of the handler's Serve, unless the member is gone. A Serve may take long, so
// it does not hold running, for which a waiting Unregister would let no message pass.
func (reg *registration) enter() bool {
	reg.running.RLock()
	defer reg.running.RUnlock()
	if !reg.gone {
		reg.serving.Add(1)
	}
	return !reg.gone
}
