package media

import (
	"errors"
	"fmt"
	"net/netip"
)

// Move takes the session to a free port pair on another address of the machine, whose own address has gone: what is
// played and heard goes on with the same SSRC, sequence and clock, and LocalAddr is the new address, to be offered in a
// re-INVITE. With an error the session is where it was.
func (s *Session) Move(local netip.Addr) error {
	pair, err := s.engine.ports.Open(local)
	if err != nil {
		return fmt.Errorf("move session: %w", err)
	}
	if err := s.attach(pair); err != nil {
		return errors.Join(fmt.Errorf("move session: %w", err), pair.Close())
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		_ = pair.Close() // nothing was sent from it
		return ErrClosed
	}
	_ = s.engine.ports.Mark(pair) // as in open
	old := s.pair.Swap(pair)
	s.mu.Unlock()
	return old.Close()
}
