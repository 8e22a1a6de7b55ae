package grpctransport

import (
	"crypto/tls"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
	"github.com/jraft-go/jraft/transport/transporttest"
)

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range []struct {
		wants string
		opt   Option
	}{
		{"nil Option", nil},
		{"cluster id", WithCluster("a b")},
		{"WithTLS", WithTLS(nil, nil)},
		{"WithTLS", WithTLS(nil, &tls.Config{})},
		{"WithTLS", WithTLS(&tls.Config{}, nil)},
		{"WithDialer", WithDialer(nil)},
		{"WithServer(nil)", WithServer(nil)},
		{"WithServerOptions", WithServerOptions(grpc.MaxHeaderListSize(1<<20), nil)},
		{"WithDialOptions", WithDialOptions(nil, grpc.WithUserAgent("x"))},
		{"MaxMessageBytes", WithMaxMessageBytes(0)},
		{"MaxMessageBytes", WithMaxMessageBytes(10)},
		{"QueueBytes", WithMaxMessageBytes(128 << 20)},
		{"QueueBytes", WithQueueBytes(1 << 10)},
		{"QueueBytes", WithQueueBytes(0)},
	} {
		tr, err := Listen(local, c.opt)
		require.ErrorContains(t, err, c.wants)
		require.Nil(t, tr)
	}
	s := grpc.NewServer()
	_, err := Listen(local, WithServer(s), WithServerOptions(grpc.MaxHeaderListSize(1<<20)))
	require.ErrorContains(t, err, "drop WithServerOptions")
	require.Empty(t, s.GetServiceInfo(), "nothing is left on a server that was not taken")
}

func TestOptionsAreUsed(t *testing.T) {
	tr := open(t, local, WithCluster("c"), WithAdvertise("peer.example:9000"))
	require.Equal(t, "peer.example:9000", tr.Addr())
	err := tr.Register(transport.Member{Cluster: "d", Group: "g", ID: "A"}, &transporttest.Inbox{})
	require.ErrorIs(t, err, raft.ErrWrongCluster)
	_, err = Listen(open(t, local).Addr())
	require.ErrorContains(t, err, "in use")
}

func TestNilLoggerIsQuiet(t *testing.T) {
	a := open(t, local, WithCluster("c"), WithLogger(nil), WithServerOptions(), WithDialOptions())
	until(t, func() bool {
		a.Send("127.0.0.1:1", heartbeat(1))
		return a.Stats().Peers["127.0.0.1:1"].Failures > 0
	}, "an attempt fails, and would be logged")
}

func TestAnAddressForNobodyIsTold(t *testing.T) {
	for _, c := range []struct {
		addr, advertise string
		warns           int
	}{
		{":0", "", 1},
		{"0.0.0.0:0", "", 1},
		{"[::]:0", "", 1},
		{local, ":7000", 1},
		{local, "0.0.0.0:7000", 1},
		{local, "", 0},
		{"localhost:0", "", 0},
		{":0", "peer.example:9000", 0},
		{":0", "[fe80::1%eth0]:9000", 0},
	} {
		var told log
		tr := open(t, c.addr, WithAdvertise(c.advertise), told.logger())
		require.Equal(t, c.warns, told.count("level=WARN"), "%+v", c)
		require.Equal(t, c.warns, told.count("WithAdvertise"), "%+v", c)
		require.NotEmpty(t, tr.Addr())
	}
}
