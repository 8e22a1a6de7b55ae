package service

import (
	"fmt"
	"net"
	"strings"
)

// Address is where one member listens.
type Address struct{ ID, Addr string }

// Addresses is a list of them as a flag: n1=host:port,n2=host:port,...
type Addresses []Address

// String implements flag.Value.
func (a *Addresses) String() string {
	var parts []string
	for _, x := range *a {
		parts = append(parts, x.ID+"="+x.Addr)
	}
	return strings.Join(parts, ",")
}

// Set implements flag.Value.
func (a *Addresses) Set(s string) error {
	*a = nil
	for part := range strings.SplitSeq(s, ",") {
		id, addr, ok := strings.Cut(part, "=")
		if _, port, err := net.SplitHostPort(addr); !ok || id == "" || err != nil || port == "" {
			return fmt.Errorf("%q is not id=host:port", part)
		}
		if Find(*a, id) != "" {
			return fmt.Errorf("%s is listed twice", id)
		}
		*a = append(*a, Address{id, addr})
	}
	return nil
}

// Find returns the address of a member, empty for one that is not listed.
func Find(list []Address, id string) string {
	for _, a := range list {
		if a.ID == id {
			return a.Addr
		}
	}
	return ""
}
