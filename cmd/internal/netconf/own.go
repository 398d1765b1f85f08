package netconf

import (
	"context"
	"net/netip"
)

// speakLLDP tells what the switch says about voice, until ctx ends.
func (m *Manager) speakLLDP(ctx context.Context, policies chan<- Policy) { <-ctx.Done() }

// linkLocal starts or ends the making of an address of our own.
func (m *Manager) linkLocal(_ context.Context, on bool) error { return nil }

// setOwn uses an address of our own making.
func (m *Manager) setOwn(a netip.Addr) {}
