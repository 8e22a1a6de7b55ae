package grpctransport

import (
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc/credentials"
)

// greetingHTTP2 is what a client says first in HTTP/2, RFC 9113 §3.4.
const greetingHTTP2 = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// recordHandshake is the type of the first TLS record, RFC 8446 §5.1.
const recordHandshake = 22

// doorkeeper are the credentials of the transport's own server. They see each connection before
// gRPC does, which closes those it can't read without a word to anybody.
type doorkeeper struct {
	credentials.TransportCredentials
	t *Transport
}

// ServerHandshake does TLS, where there is TLS, and has the first bytes after it looked at.
func (d doorkeeper) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := d.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		if !ended(err) {
			d.t.badConnection(raw, err)
		}
		return nil, nil, err
	}
	return &greeted{Conn: conn, t: d.t}, info, nil
}

// Clone keeps the doorkeeper.
func (d doorkeeper) Clone() credentials.TransportCredentials {
	return doorkeeper{d.TransportCredentials.Clone(), d.t}
}

// ended reports whether TLS failed because the connection ended, or nothing more came in time; not
// because of what came. An alert is a net.OpError as well, of another Op.
func ended(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op == "read" || op.Op == "write"
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// greeted is a connection whose first bytes are compared with what a client of gRPC sends.
type greeted struct {
	net.Conn
	t    *Transport
	seen int // bytes of the greeting; all of it too where it was another. Only the reader uses it.
}

// Read is that of [net.Conn]. It fails at the first byte that is wrong: gRPC would wait for more.
func (c *greeted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.seen == len(greetingHTTP2) {
		return n, err
	}
	came := string(b[:min(n, len(greetingHTTP2)-c.seen)])
	if came == greetingHTTP2[c.seen:c.seen+len(came)] {
		c.seen += len(came)
		return n, err
	}
	problem := fmt.Errorf("no client of gRPC: it sent %q", came)
	if c.seen == 0 && came[0] == recordHandshake {
		problem = errors.New("it speaks TLS, and this side was started without WithTLS")
	}
	c.seen = len(greetingHTTP2)
	c.t.badConnection(c.Conn, problem)
	return n, problem
}

func (t *Transport) badConnection(c net.Conn, err error) {
	t.badConnections.Add(1)
	t.warnedConnection.Do(func() {
		t.o.logger.Warn("closed a bad connection to this side; further ones are only counted",
			"from", c.RemoteAddr().String(), "error", err)
	})
}
