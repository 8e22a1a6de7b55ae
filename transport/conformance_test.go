package transport_test

import (
	"fmt"
	"testing"

	"github.com/jraft-go/jraft/transport"
	"github.com/jraft-go/jraft/transport/transporttest"
)

func TestNetworkKeepsTheContract(t *testing.T) {
	n, opened := transport.NewNetwork(1), 0
	transporttest.Run(t, func(*testing.T) transport.Transport {
		opened++
		return n.Transport(fmt.Sprint("peer", opened))
	})
}
