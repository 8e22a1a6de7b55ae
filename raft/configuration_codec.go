package raft

import (
	"bytes"
	"fmt"

	"github.com/hashicorp/go-msgpack/v2/codec"
)

// wireConfiguration is the msgpack map that a configuration entry carries. Fields may be added,
// never reused.
type wireConfiguration struct {
	Voters   []wirePeer `codec:"voters"`
	Learners []wirePeer `codec:"learners,omitempty"`
	Outgoing []wirePeer `codec:"outgoing,omitempty"`
	Origin   uint32     `codec:"origin,omitempty"`
}

type wirePeer struct {
	ID       string `codec:"id"`
	Addr     string `codec:"addr"`
	Priority int64  `codec:"priority,omitempty"`
}

func msgpack() *codec.MsgpackHandle {
	h := &codec.MsgpackHandle{WriteExt: true}
	h.Canonical = true // the same configuration is the same bytes on every member
	return h
}

// EncodeConfiguration returns the data of a configuration entry. The index is not part of it: it is
// the entry's.
func EncodeConfiguration(c Configuration) []byte {
	w := wireConfiguration{toWire(c.Voters), toWire(c.Learners), toWire(c.Outgoing), c.Origin}
	var out []byte
	if err := codec.NewEncoderBytes(&out, msgpack()).Encode(&w); err != nil {
		// The types above always encode; a failure is a broken build, not an input.
		panic(fmt.Sprintf("raft: encode configuration: %v", err))
	}
	return out
}

// WithOrigin returns the first configuration of a group with its origin set: see [Configuration].
// Every member has to list the same peers in the same order.
func WithOrigin(first Configuration) Configuration {
	first.Origin = 0
	first.Origin = max(1, Checksum(EncodeConfiguration(first)))
	return first
}

// DecodeConfiguration reads what [EncodeConfiguration] wrote. The result has index i and shares no
// memory with data. It returns an error for anything malformed, trailing bytes included.
func DecodeConfiguration(i Index, data []byte) (Configuration, error) {
	var w wireConfiguration
	d := codec.NewDecoderBytes(bytes.Clone(data), msgpack())
	if err := d.Decode(&w); err != nil {
		return Configuration{}, fmt.Errorf("raft: configuration at index %d: %w", i, err)
	}
	if n := d.NumBytesRead(); n != len(data) {
		return Configuration{}, fmt.Errorf("raft: configuration at index %d: %d trailing bytes",
			i, len(data)-n)
	}
	c := Configuration{
		i, fromWire(w.Voters), fromWire(w.Learners), fromWire(w.Outgoing), w.Origin,
	}
	if err := c.Validate(); err != nil {
		return Configuration{}, fmt.Errorf("raft: configuration at index %d: %w", i, err)
	}
	return c, nil
}

func toWire(list []Peer) (out []wirePeer) {
	for _, p := range list {
		out = append(out, wirePeer{string(p.ID), p.Addr, int64(p.Priority)})
	}
	return out
}

func fromWire(list []wirePeer) (out []Peer) {
	for _, p := range list {
		out = append(out, Peer{PeerID(p.ID), p.Addr, int(p.Priority)})
	}
	return out
}
