package grpctransport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/jraft-go/jraft/raft"
)

// authority signs the certificates of all tests of one run.
var authority = sync.OnceValues(func() (tls.Certificate, error) {
	return certificate(nil, &x509.Certificate{IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign})
})

func certificate(parent *tls.Certificate, c *x509.Certificate) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	c.SerialNumber, c.Subject = big.NewInt(time.Now().UnixNano()), pkix.Name{CommonName: "test"}
	c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	issuer, signer := c, any(key)
	if parent != nil {
		issuer, signer = parent.Leaf, parent.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, &key.PublicKey, signer)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}

type configs struct{ server, client *tls.Config }

func (c configs) option() Option { return WithTLS(c.server, c.client) }

// testTLS returns configurations with a certificate that names the peers in the cluster.
func testTLS(t *testing.T, cluster string, ids ...raft.PeerID) configs {
	ca, err := authority()
	require.NoError(t, err)
	c := &x509.Certificate{
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, id := range ids {
		u, err := url.Parse("raft://" + cluster + "/" + string(id))
		require.NoError(t, err)
		c.URIs = append(c.URIs, u)
	}
	own, err := certificate(&ca, c)
	require.NoError(t, err)
	roots := x509.NewCertPool()
	roots.AddCert(ca.Leaf)
	certs := []tls.Certificate{own}
	return configs{
		server: &tls.Config{Certificates: certs, ClientCAs: roots},
		client: &tls.Config{Certificates: certs, RootCAs: roots},
	}
}

func TestCertificateNamesThePeer(t *testing.T) {
	b := open(t, local, testTLS(t, "c", "B").option())
	in := member(t, b, "c", "B")
	a := open(t, local, WithCluster("c"), testTLS(t, "c", "A", "A2").option())
	arrives(t, a, b.Addr(), in)

	forged := heartbeat(2)
	forged[0].From = "D"
	second := heartbeat(3)
	second[0].From = "A2"
	elsewhere := heartbeat(4)
	elsewhere[0].To = "E"
	a.Send(b.Addr(), append(append(forged, elsewhere...), second...))
	from := func(id raft.PeerID) bool {
		return slices.ContainsFunc(in.Messages(), func(m raft.Message) bool { return m.From == id })
	}
	until(t, func() bool { return from("A2") }, "what the second name sends arrives")
	require.False(t, from("D"))
	until(t, func() bool {
		return b.Stats().Peers[a.Addr()].Refused == 1
	}, "the forged one is counted")
	until(t, func() bool {
		return a.Stats().Peers[b.Addr()].Dropped == 1
	}, "the peer is not who it is for")
}

func TestStrangersWithoutTheRightCertificate(t *testing.T) {
	b := open(t, local, testTLS(t, "c", "B").option())
	in := member(t, b, "c", "B")
	fails := func(a *Transport) error {
		t.Helper()
		until(t, func() bool {
			a.Send(b.Addr(), heartbeat(1))
			return a.Stats().Peers[b.Addr()].Failures > 0
		}, "the attempt fails")
		return a.Stats().Peers[b.Addr()].LastError
	}
	require.ErrorIs(t, fails(open(t, local, WithCluster("c"), testTLS(t, "d", "A").option())),
		errIdentity)
	require.ErrorIs(t, fails(open(t, local, WithCluster("c"), testTLS(t, "c").option())), errIdentity)
	require.Error(t, fails(open(t, local, WithCluster("c"))), "no TLS at all")
	bare := testTLS(t, "c", "A")
	bare.client.Certificates = nil
	require.Error(t, fails(open(t, local, WithCluster("c"), bare.option())), "no client certificate")
	require.Empty(t, in.Messages())

	// The other way round: the server's certificate is of another cluster.
	d := open(t, local, testTLS(t, "d", "B").option())
	member(t, d, "c", "B")
	a := open(t, local, WithCluster("c"), testTLS(t, "c", "A").option())
	until(t, func() bool {
		a.Send(d.Addr(), heartbeat(1))
		return a.Stats().Peers[d.Addr()].Failures > 0
	}, "the attempt fails")
	require.ErrorIs(t, a.Stats().Peers[d.Addr()].LastError, errIdentity)
}
