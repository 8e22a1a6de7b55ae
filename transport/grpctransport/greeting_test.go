package grpctransport

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// says connects, writes, and reads until the other side closes the connection.
func says(t *testing.T, addr string, b []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	// It may fail already, when the other side is quick to close the connection.
	_, _ = conn.Write(b)
	_, _ = io.Copy(io.Discard, conn)
}

func TestGarbageIsCountedAndToldOnce(t *testing.T) {
	var told log
	b := open(t, local, told.logger())
	in := member(t, b, "c", "B")
	a := open(t, local, WithCluster("c"))
	arrives(t, a, b.Addr(), in)
	require.Zero(t, b.Stats().BadConnections)
	for _, greeting := range [][]byte{
		[]byte("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"),
		bytes.Repeat([]byte("garbage "), 1000),
		[]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX"),
	} {
		says(t, b.Addr(), greeting)
	}
	until(t, func() bool { return b.Stats().BadConnections == 3 }, "they are counted")
	require.Equal(t, 1, told.count("bad connection"))
	require.Equal(t, 1, told.count(`GET / HTTP/1.1`), "it tells what came")
	require.Equal(t, 1, told.count("level=WARN"))
	require.Zero(t, b.Stats().Refused)
}

func TestOneWrongByteIsEnough(t *testing.T) {
	b := open(t, local)
	says(t, b.Addr(), []byte("?"))
	require.Equal(t, uint64(1), b.Stats().BadConnections)
}

// Whoever looks whether the port is open, or goes away in mid-sentence, has sent nothing bad.
func TestProbesAreNotBadConnections(t *testing.T) {
	for name, opts := range map[string][]Option{
		"plain": nil, "TLS": {testTLS(t, "c", "B").option()},
	} {
		t.Run(name, func(t *testing.T) {
			var told log
			b := open(t, local, append(opts, told.logger())...)
			partial := []byte("PRI * HT")
			if name == "TLS" {
				partial = []byte{22, 3, 1, 2, 0, 1} // the head of a ClientHello and its first byte
			}
			for _, sent := range [][]byte{nil, partial} {
				for _, abort := range []bool{false, true} {
					conn, err := net.Dial("tcp", b.Addr())
					require.NoError(t, err)
					if abort {
						require.NoError(t, conn.(*net.TCPConn).SetLinger(0))
					}
					_, err = conn.Write(sent)
					require.NoError(t, err)
					require.NoError(t, conn.Close())
				}
			}
			says(t, b.Addr(), []byte("garbage"))
			require.NoError(t, b.Close(), "which waits for what was accepted")
			require.Equal(t, uint64(1), b.Stats().BadConnections, "only the garbage")
			require.Equal(t, 1, told.count("level="))
		})
	}
}

func TestConnectionsThatFailTLSAreTold(t *testing.T) {
	bare := testTLS(t, "c", "A")
	bare.client.Certificates = nil
	wary := testTLS(t, "c", "A") // does not believe b's certificate
	wary.client.RootCAs = nil
	own := testTLS(t, "c", "B").option()
	for _, c := range []struct {
		tells          string
		server, client []Option
	}{
		{"first record does not look like a TLS handshake", []Option{own}, nil},
		{"didn't provide a certificate", []Option{own}, []Option{bare.option()}},
		{"bad certificate", []Option{own}, []Option{wary.option()}},
		{"it speaks TLS", nil, []Option{testTLS(t, "c", "A").option()}},
	} {
		var told log
		b := open(t, local, append(c.server, told.logger())...)
		member(t, b, "c", "B")
		a := open(t, local, append(c.client, WithCluster("c"))...)
		until(t, func() bool {
			a.Send(b.Addr(), heartbeat(1))
			return b.Stats().BadConnections > 0
		}, c.tells)
		until(t, func() bool { return told.count("bad connection") == 1 }, c.tells)
		require.Equal(t, 1, told.count(c.tells))
	}
}
