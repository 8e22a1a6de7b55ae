// Package petition carries what a member asks of its leader besides commands and reads: changes of
// the membership and transfers of leadership. Such a request may take long, so it has an id by
// which the leader knows it again: it is asked for until it is decided, and an answer that was lost
// is given once more. It corresponds to com.alipay.sofa.jraft.CliService, with the client and the
// server in every member.
package petition

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-msgpack/v2/codec"

	"github.com/jraft-go/jraft/raft"
)

// Op says what is asked for. The numbers are part of the wire format.
type Op uint8

// The operations.
const (
	OpChange   Op = 1 // of the membership
	OpTransfer Op = 2 // of leadership
)

// Request is what is asked for.
type Request struct {
	ID       uint64 // drawn for each call; a request with the same id is the same request
	Op       Op
	Edits    []raft.Edit   // of OpChange
	IfIndex  raft.Index    // of OpChange; 0: any
	To       raft.PeerID   // of OpTransfer; empty: the best
	Patience time.Duration // how long the asker will go on asking; 0: for good
}

// Reply answers a request.
type Reply struct {
	Pending       bool // not decided yet: ask again
	Known         bool // the request was taken before, and this is what became of it
	Configuration raft.Configuration
	To            raft.PeerID // who leads
	Err           error
	Unknown       bool // it may have been, or may still be, done. Goes with Err.
}

// The wire format, see docs/FORMAT.md: magic, version, one msgpack map, and a checksum of all that.
const (
	requestMagic = "JRPQ"
	replyMagic   = "JRPA"
	version      = 1
	headBytes    = len(requestMagic) + 1
	minBytes     = headBytes + 4
)

type wirePeer struct {
	ID       string `codec:"id"`
	Addr     string `codec:"addr,omitempty"`
	Priority int64  `codec:"priority,omitempty"`
}

type wireEdit struct {
	Kind     uint8      `codec:"kind"`
	Peers    []wirePeer `codec:"peers,omitempty"`
	Learners []wirePeer `codec:"learners,omitempty"`
}

type wireRequest struct {
	ID       uint64     `codec:"id"`
	Op       uint8      `codec:"op"`
	Edits    []wireEdit `codec:"edits,omitempty"`
	IfIndex  uint64     `codec:"if_index,omitempty"`
	To       string     `codec:"to,omitempty"`
	Patience int64      `codec:"patience,omitempty"` // ms
}

type wireReply struct {
	Pending       bool   `codec:"pending,omitempty"`
	Known         bool   `codec:"known,omitempty"`
	Configuration []byte `codec:"configuration,omitempty"`
	Index         uint64 `codec:"index,omitempty"`
	To            string `codec:"to,omitempty"`
	Errors        []int  `codec:"errors,omitempty"`
	Text          string `codec:"text,omitempty"`
	Unknown       bool   `codec:"unknown,omitempty"`
}

// IsRequest reports whether b is a request of this package, and not one for a snapshot. That begins
// with a checksum, which may look like the magic: so the checksum here has to be right, too.
func IsRequest(b []byte) bool {
	return bytes.HasPrefix(b, []byte(requestMagic)) && len(b) >= minBytes && sound(b)
}

func sound(b []byte) bool {
	body := b[:len(b)-4]
	return raft.Checksum(body) == binary.LittleEndian.Uint32(b[len(body):])
}

// IsReply reports whether b is a reply of this package.
func IsReply(b []byte) bool { return bytes.HasPrefix(b, []byte(replyMagic)) }

// EncodeRequest returns a request as it travels.
func EncodeRequest(r *Request) ([]byte, error) {
	w := wireRequest{ID: r.ID, Op: uint8(r.Op), IfIndex: uint64(r.IfIndex), To: string(r.To),
		Patience: r.Patience.Milliseconds()}
	for _, e := range r.Edits {
		w.Edits = append(w.Edits, wireEdit{uint8(e.Kind), toWire(e.Peers), toWire(e.Learners)})
	}
	return seal(requestMagic, &w)
}

// DecodeRequest reads what [EncodeRequest] wrote. An error wraps [raft.ErrCorrupt].
func DecodeRequest(b []byte) (Request, error) {
	var w wireRequest
	if err := open(requestMagic, b, &w); err != nil {
		return Request{}, err
	}
	r := Request{ID: w.ID, Op: Op(w.Op), IfIndex: raft.Index(w.IfIndex), To: raft.PeerID(w.To),
		Patience: time.Duration(max(w.Patience, 0)) * time.Millisecond}
	for _, e := range w.Edits {
		r.Edits = append(r.Edits, raft.Edit{
			Kind: raft.EditKind(e.Kind), Peers: fromWire(e.Peers), Learners: fromWire(e.Learners),
		})
	}
	if r.Op != OpChange && r.Op != OpTransfer {
		return Request{}, corrupt("operation %d is not known", w.Op)
	}
	return r, nil
}

// EncodeReply returns a reply as it travels: of an error its text, and which errors of package raft
// it is.
func EncodeReply(r *Reply) ([]byte, error) {
	w := wireReply{Pending: r.Pending, Known: r.Known, To: string(r.To), Unknown: r.Unknown}
	if len(r.Configuration.Voters) > 0 {
		w.Configuration = raft.EncodeConfiguration(r.Configuration)
		w.Index = uint64(r.Configuration.Index)
	}
	if r.Err != nil {
		w.Errors, w.Text = numbersOf(r.Err), r.Err.Error()
	}
	return seal(replyMagic, &w)
}

// DecodeReply reads what [EncodeReply] wrote. An error wraps [raft.ErrCorrupt].
func DecodeReply(b []byte) (Reply, error) {
	var w wireReply
	if err := open(replyMagic, b, &w); err != nil {
		return Reply{}, err
	}
	r := Reply{Pending: w.Pending, Known: w.Known, To: raft.PeerID(w.To), Unknown: w.Unknown}
	if w.Text != "" || len(w.Errors) > 0 {
		r.Err = told{w.Text, sentinelsOf(w.Errors)}
	}
	if len(w.Configuration) > 0 {
		c, err := raft.DecodeConfiguration(raft.Index(w.Index), w.Configuration)
		if err != nil {
			return Reply{}, fmt.Errorf("%w: %w", raft.ErrCorrupt, err)
		}
		r.Configuration = c
	}
	return r, nil
}

// told is an error that another member told of.
type told struct {
	text string
	is   []error
}

// Error returns the text of the error as it was there.
func (e told) Error() string { return e.text }

// Unwrap returns the errors of package raft that it was.
func (e told) Unwrap() []error { return e.is }

// sentinels are the errors that keep their identity on the way. Their positions are part of the
// wire format.
var sentinels = [...]error{
	raft.ErrNotLeader, raft.ErrNoLeader, raft.ErrLeadershipLost, raft.ErrTransferring, raft.ErrBusy,
	raft.ErrTooLarge, raft.ErrStopped, raft.ErrFailed, raft.ErrChangeInProgress,
	raft.ErrConfigurationStale, raft.ErrCatchUp, raft.ErrBadConfiguration, raft.ErrUnfit,
}

func numbersOf(err error) (numbers []int) {
	for i, s := range sentinels {
		if errors.Is(err, s) {
			numbers = append(numbers, i)
		}
	}
	return numbers
}

func sentinelsOf(numbers []int) (list []error) {
	for _, i := range numbers {
		if i >= 0 && i < len(sentinels) {
			list = append(list, sentinels[i])
		}
	}
	return list
}

func toWire(list []raft.Peer) (out []wirePeer) {
	for _, p := range list {
		out = append(out, wirePeer{string(p.ID), p.Addr, int64(p.Priority)})
	}
	return out
}

func fromWire(list []wirePeer) (out []raft.Peer) {
	for _, p := range list {
		out = append(out, raft.Peer{ID: raft.PeerID(p.ID), Addr: p.Addr, Priority: int(p.Priority)})
	}
	return out
}

func seal(magic string, w any) ([]byte, error) {
	var body []byte
	h := &codec.MsgpackHandle{WriteExt: true}
	h.Canonical = true
	if err := codec.NewEncoderBytes(&body, h).Encode(w); err != nil {
		return nil, fmt.Errorf("petition: encode: %w", err)
	}
	b := append(append([]byte(magic), version), body...)
	return binary.LittleEndian.AppendUint32(b, raft.Checksum(b)), nil
}

func open(magic string, b []byte, w any) error {
	if len(b) < minBytes || string(b[:len(magic)]) != magic {
		return corrupt("%d bytes without the magic %s", len(b), magic)
	}
	body := b[:len(b)-4]
	if !sound(b) {
		return corrupt("wrong checksum")
	}
	if v := body[headBytes-1]; v != version {
		return fmt.Errorf("petition: the other member speaks version %d, this one %d: run the same "+
			"release on both", v, version)
	}
	body = bytes.Clone(body[headBytes:]) // what is decoded may refer to it
	d := codec.NewDecoderBytes(body, &codec.MsgpackHandle{WriteExt: true})
	if err := d.Decode(w); err != nil {
		return corrupt("%v", err)
	}
	if n := d.NumBytesRead(); n != len(body) {
		return corrupt("%d trailing bytes", len(body)-n)
	}
	return nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("petition: %w: "+format, append([]any{raft.ErrCorrupt}, args...)...)
}
