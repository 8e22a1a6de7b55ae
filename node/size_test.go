package node_test

import (
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/node"
	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
	"github.com/jraft-go/jraft/transport/grpctransport"
)

// sized is a transport that carries less.
type sized struct {
	transport.Transport
	bytes int
}

func (s sized) MaxMessageBytes() int { return s.bytes }

func (s sized) Send(addr string, msgs []raft.Message) {
	for _, m := range msgs {
		if transport.EncodedBytes(&m) <= s.bytes {
			s.Transport.Send(addr, []raft.Message{m})
		}
	}
}

// TestTransportCarriesTheLargestCommand takes the largest MaxCommandBytes that is accepted, with
// the longest ids, and applies commands of that size where they are appended and where they are
// forwarded.
func TestTransportCarriesTheLargestCommand(t *testing.T) {
	net := transport.NewNetwork(1)
	for name, open := range map[string]func(id string) transport.Transport{
		"network": func(id string) transport.Transport {
			return sized{net.Transport(id[60:] + ":1"), 1 << 20}
		},
		"grpc": func(string) transport.Transport {
			tr, err := grpctransport.Listen("127.0.0.1:0",
				grpctransport.WithMaxMessageBytes(1<<20))
			require.NoError(t, err)
			return tr
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := make([]node.Options, 2)
			var peers []raft.Peer
			for i, letter := range []string{"a", "b"} {
				id := strings.Repeat(letter, raft.MaxIDBytes)
				tr := open(id)
				t.Cleanup(func() { require.NoError(t, tr.Close()) })
				peers = append(peers, raft.Peer{ID: raft.PeerID(id), Addr: tr.Addr()})
				options[i] = node.Options{ID: raft.PeerID(id), Transport: tr, StateMachine: nothing{},
					Group:   raft.GroupID(strings.Repeat("g", raft.MaxIDBytes)),
					Cluster: strings.Repeat("c", raft.MaxIDBytes),
					Dir:     t.TempDir(), // for snapshots
					Store:   &memoryStore{}, ElectionTimeout: 8 * electionTimeout}
			}
			most := -1 + sort.Search(1<<28, func(bytes int) bool {
				o := options[0]
				o.MaxCommandBytes = max(bytes, 1)
				return o.Validate() != nil
			})
			limit := options[0].Transport.(transport.Sizer).MaxMessageBytes()
			require.Greater(t, most, limit-512)
			for _, o := range options {
				o.Peers, o.MaxCommandBytes = peers, most
				n, err := node.Start(o)
				require.NoError(t, err)
				t.Cleanup(func() { require.NoError(t, n.Stop(within(t, 10*time.Second))) })
				defer func() {
					_, err := n.Apply(within(t, 20*time.Second), make([]byte, most))
					require.NoError(t, err)
				}()
			}
		})
	}
}

func TestTransportIsTooSmall(t *testing.T) {
	net := transport.NewNetwork(1).Transport("n1:1")
	tr, err := grpctransport.Listen("127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, tr.Close()) }()
	validate := func(tr transport.Transport, command, batch int) error {
		o := node.Options{ID: "n1", Dir: "d", StateMachine: nothing{}, Transport: tr}
		o.MaxCommandBytes, o.Replication.BatchBytes = command, batch
		o.Replication.WindowBytes = max(command, batch, 4<<20)
		return o.Validate()
	}
	for limit, tr := range map[int]transport.Transport{8 << 20: tr, 64 << 20: net} {
		require.NoError(t, validate(tr, limit-512, limit-512))
		require.EqualError(t, validate(sized{tr, 1000}, 900, 900),
			"node: Options.MaxCommandBytes is 900, need at most 785: "+
				"the largest message of Options.Transport has 1000 bytes (MaxMessageBytes)\n"+
				"node: Options.Replication.BatchBytes is 900, need at most 810: "+
				"the largest message of Options.Transport has 1000 bytes (MaxMessageBytes)")
		require.ErrorContains(t, validate(tr, limit, 0), "Options.MaxCommandBytes is ")
		require.ErrorContains(t, validate(tr, 0, limit), "Options.Replication.BatchBytes is ")
	}
	untold := struct{ transport.Transport }{tr}
	require.NoError(t, validate(untold, 16<<20, 0))
}
