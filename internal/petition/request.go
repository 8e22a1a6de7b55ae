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
	"reflect"
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

	// What is believed of another member at most.
	maxBytes    = 512 << 10 // a reply has all members, and a text that may name them
	maxNumber   = 1 << 62   // is above all indexes, as in package transport
	maxPatience = 1000 * time.Hour
	// maxNamed bounds the edits of a request and the peers in them, which the leader compares with
	// each other.
	maxNamed  = 4096
	maxLists  = 4 * maxNamed // lists and maps: the edits, their peers, and the lists of these
	maxErrors = 64           // a later release may know more than this one
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

// EncodeRequest returns a request as it travels. What the leader would not take for a request is
// refused here: a target that is no peer id with [raft.ErrUnfit], an index that no entry can have
// with [raft.ErrConfigurationStale], very many edits with [raft.ErrTooLarge].
func EncodeRequest(r *Request) ([]byte, error) {
	w := wireRequest{ID: r.ID, Op: uint8(r.Op), IfIndex: uint64(r.IfIndex), To: string(r.To),
		Patience: min(r.Patience, maxPatience).Milliseconds()}
	if err := validTo(r.To); err != nil {
		return nil, fmt.Errorf("petition: %w: %w", raft.ErrUnfit, err)
	}
	if r.IfIndex >= maxNumber {
		return nil, fmt.Errorf("petition: %w: no configuration has index %d", raft.ErrConfigurationStale,
			r.IfIndex)
	}
	if n := named(r.Edits); n > maxNamed {
		return nil, fmt.Errorf("petition: %w: %d edits and peers, at most %d are allowed: make the "+
			"change in parts", raft.ErrTooLarge, n, maxNamed)
	}
	for _, e := range r.Edits {
		w.Edits = append(w.Edits, wireEdit{uint8(e.Kind), toWire(e.Peers), toWire(e.Learners)})
	}
	return seal(requestMagic, &w)
}

// DecodeRequest reads what [EncodeRequest] wrote. An error wraps [raft.ErrCorrupt], unless it is of
// another version. Whether the edits make sense is for [raft.Configuration.Edited] to say.
func DecodeRequest(b []byte) (Request, error) {
	var w wireRequest
	if err := open(requestMagic, b, &w); err != nil {
		return Request{}, err
	}
	r := Request{ID: w.ID, Op: Op(w.Op), IfIndex: raft.Index(w.IfIndex), To: raft.PeerID(w.To)}
	for _, e := range w.Edits {
		r.Edits = append(r.Edits, raft.Edit{
			Kind: raft.EditKind(e.Kind), Peers: fromWire(e.Peers), Learners: fromWire(e.Learners),
		})
	}
	switch n := named(r.Edits); {
	case r.Op != OpChange && r.Op != OpTransfer:
		return Request{}, corrupt("operation %d is not known", w.Op)
	case n > maxNamed:
		return Request{}, corrupt("%d edits and peers", n)
	case w.IfIndex >= maxNumber:
		return Request{}, corrupt("index %d", w.IfIndex)
	case w.Patience < 0 || w.Patience > maxPatience.Milliseconds():
		return Request{}, corrupt("patience of %d ms", w.Patience)
	}
	if err := validTo(r.To); err != nil {
		return Request{}, corrupt("%v", err)
	}
	r.Patience = time.Duration(w.Patience) * time.Millisecond
	return r, nil
}

// named counts edits and the peers in them.
func named(edits []raft.Edit) (n int) {
	for _, e := range edits {
		n += 1 + len(e.Peers) + len(e.Learners)
	}
	return n
}

// validTo refuses a peer that is neither empty nor one.
func validTo(p raft.PeerID) error {
	if p == "" {
		return nil
	}
	return p.Validate()
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

// DecodeReply reads what [EncodeReply] wrote. An error wraps [raft.ErrCorrupt], unless it is of
// another version.
func DecodeReply(b []byte) (Reply, error) {
	var w wireReply
	if err := open(replyMagic, b, &w); err != nil {
		return Reply{}, err
	}
	if n := len(w.Errors); n > maxErrors || n > 0 && w.Text == "" || w.Index >= maxNumber {
		return Reply{}, corrupt("%d errors, a text of %d bytes, index %d", n, len(w.Text), w.Index)
	}
	r := Reply{Pending: w.Pending, Known: w.Known, To: raft.PeerID(w.To), Unknown: w.Unknown}
	if w.Text != "" {
		r.Err = told{w.Text, sentinelsOf(w.Errors)}
	}
	if len(w.Configuration) > 0 {
		c, err := raft.DecodeConfiguration(raft.Index(w.Index), w.Configuration)
		if err != nil {
			return Reply{}, fmt.Errorf("%w: %w", raft.ErrCorrupt, err)
		}
		r.Configuration = c
	}
	if err := validTo(r.To); err != nil {
		return Reply{}, corrupt("%v", err)
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

// newHandle makes the same value the same bytes. A map is one from strings wherever its type is
// free.
func newHandle() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.Canonical = true
	h.MapType = reflect.TypeFor[map[string]any]()
	return h
}

func encode(w any) (body []byte, err error) {
	err = codec.NewEncoderBytes(&body, newHandle()).Encode(w)
	return body, err
}

func seal(magic string, w any) ([]byte, error) {
	body, err := encode(w)
	if err != nil {
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
	if len(b) > maxBytes {
		return corrupt("%d bytes", len(b))
	}
	body = bytes.Clone(body[headBytes:]) // what is decoded may refer to it
	return decodeMap(body, w)
}

// decodeMap reads the one msgpack map that body holds into w. The codec by itself would also take
// an array or nil for a struct, ignore what follows, and let the last one of equal keys win: that,
// and whatever else the encoder does not write, comes out different when it is encoded again.
func decodeMap(body []byte, w any) error {
	if len(body) == 0 || body[0]>>4 != 0x8 && body[0] != 0xde && body[0] != 0xdf {
		return corrupt("%.8x begins no map", body)
	}
	var all any // with the fields that this release does not know
	if err := codec.NewDecoderBytes(body, newHandle()).Decode(&all); err != nil {
		return corrupt("%v", err)
	}
	if n := lists(all); n > maxLists {
		return corrupt("%d lists and maps", n)
	}
	if again, err := encode(all); err != nil || !bytes.Equal(again, body) {
		return corrupt("%d bytes that no member writes", len(body))
	}
	if err := codec.NewDecoderBytes(body, newHandle()).Decode(w); err != nil {
		return corrupt("%v", err)
	}
	return nil
}

// lists counts lists and maps: a byte may be one, and takes much more than that when decoded.
func lists(v any) int {
	n := 1
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			n += lists(e)
		}
	case map[string]any:
		for _, e := range v {
			n += lists(e)
		}
	default:
		n = 0
	}
	return n
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("petition: %w: "+format, append([]any{raft.ErrCorrupt}, args...)...)
}
