package grpctransport

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	grpcpeer "google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/jraft-go/jraft/raft"
	"github.com/jraft-go/jraft/transport"
)

// The handshake is in the headers of a stream: both sides say which wire version they speak and of
// which cluster they are, and the one that dialed says under which address it is reached. A refusal
// says why in a trailer, by which the dialing side knows it from an error of gRPC's.
const (
	keyVersion = "jraft-wire"
	keyCluster = "jraft-cluster"
	keyAddr    = "jraft-addr"
	keyRefused = "jraft-refused"

	refusedVersion  = "version"
	refusedCluster  = "cluster"
	refusedIdentity = "identity"
	refusedBusy     = "busy" // this and those below: of fetches alone
	refusedSize     = "size"
	refusedMember   = "member"
	refusedServer   = "server"
	refusedFailed   = "failed"

	maxAddrBytes = 256
)

// errIdentity is the cause when a certificate does not name a member of the cluster.
var errIdentity = errors.New("certificate names no member of the cluster")

func helloOf(cluster, addr string) metadata.MD {
	md := metadata.Pairs(keyVersion, strconv.Itoa(transport.WireVersion), keyCluster, cluster)
	if addr != "" {
		md.Set(keyAddr, addr)
	}
	return md
}

// verifyHello checks what the other side said of itself.
func verifyHello(md metadata.MD, cluster string) error {
	version, theirs := single(md, keyVersion), single(md, keyCluster)
	if own := strconv.Itoa(transport.WireVersion); version != own {
		return fmt.Errorf("%w: the peer speaks %.20q, this side %q; upgrade the older one",
			transport.ErrWireVersion, version, own)
	}
	if theirs != cluster {
		return fmt.Errorf("%w: the peer is of cluster %.64q, this side of %q", raft.ErrWrongCluster,
			theirs, cluster)
	}
	return nil
}

func single(md metadata.MD, key string) string {
	if v := md.Get(key); len(v) == 1 {
		return v[0]
	}
	return ""
}

// callRefusal is how a refusal of a fetch is told.
type callRefusal struct {
	err    error
	reason string
	code   codes.Code
}

func callRefusals() []callRefusal {
	return []callRefusal{
		{raft.ErrBusy, refusedBusy, codes.ResourceExhausted},
		{raft.ErrTooLarge, refusedSize, codes.InvalidArgument},
		{transport.ErrNoMember, refusedMember, codes.NotFound},
		{transport.ErrNoServer, refusedServer, codes.Unimplemented},
		{transport.ErrServe, refusedFailed, codes.Unknown},
	}
}

// refuse turns the cause of a refusal into what the other side is told.
func refuse(err error) (metadata.MD, error) {
	code, reason := codes.InvalidArgument, ""
	switch {
	case errors.Is(err, raft.ErrWrongCluster):
		code, reason = codes.FailedPrecondition, refusedCluster
	case errors.Is(err, errIdentity):
		code, reason = codes.PermissionDenied, refusedIdentity
	case errors.Is(err, transport.ErrWireVersion):
		code, reason = codes.OutOfRange, refusedVersion
	default:
		for _, r := range callRefusals() {
			if errors.Is(err, r.err) {
				code, reason = r.code, r.reason
				break
			}
		}
	}
	return metadata.Pairs(keyRefused, reason), status.Error(code, err.Error())
}

// refusal is the inverse of refuse, on the dialing side.
func refusal(err error, trailer metadata.MD) error {
	text := status.Convert(err).Message()
	switch single(trailer, keyRefused) {
	case refusedCluster:
		return fmt.Errorf("%w: refused by the peer: %s", raft.ErrWrongCluster, text)
	case refusedVersion:
		return fmt.Errorf("%w: refused by the peer: %s", transport.ErrWireVersion, text)
	case refusedIdentity:
		return fmt.Errorf("%w: refused by the peer: %s", errIdentity, text)
	}
	for _, r := range callRefusals() {
		if single(trailer, keyRefused) == r.reason {
			return fmt.Errorf("%w: refused by the peer: %s", r.err, text)
		}
	}
	return err
}

// identity is the set of peer ids that a certificate names; nil without TLS, when any sender is
// believed.
type identity map[raft.PeerID]bool

func (i identity) allows(id raft.PeerID) bool { return i == nil || i[id] }

// identify reads the peer ids that the other side's certificate names in the cluster.
func identify(ctx context.Context, cluster string) (identity, error) {
	p, ok := grpcpeer.FromContext(ctx)
	if !ok {
		return nil, errIdentity
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return nil, fmt.Errorf("%w: the connection has no verified certificate", errIdentity)
	}
	return idsOf(info.State.VerifiedChains[0][0], cluster)
}

func idsOf(c *x509.Certificate, cluster string) (identity, error) {
	ids := identity{}
	for _, u := range c.URIs {
		if u.Scheme == "raft" && u.Host == cluster && len(u.Path) > 1 {
			ids[raft.PeerID(u.Path[1:])] = true
		}
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("%w: need a URI name raft://%s/<peer id>, has %v",
			errIdentity, cluster, c.URIs)
	}
	return ids, nil
}
