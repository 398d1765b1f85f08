package media

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"
)

// What callers decide on.
var (
	ErrClosed  = errors.New("media: session closed")
	ErrBridged = errors.New("media: session already in a relay")
)

// Config is the media section of an appliance's configuration.
type Config struct {
	PortMin uint16 `toml:"port_min" doc:"lowest RTP port, even"`
	PortMax uint16 `toml:"port_max" doc:"highest RTP port"`
}

// Engine paces all sessions.
type Engine struct{}

// Option changes an Engine at its making.
type Option func(*Engine)

// NewEngine returns an engine that does nothing before Run.
func NewEngine(cfg Config, log *slog.Logger, opts ...Option) *Engine { return &Engine{} }

// Run blocks until ctx ends.
func (e *Engine) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Open opens a session.
func (e *Engine) Open(local netip.Addr) (*Session, error) { return &Session{}, nil }

// Session is one RTP stream in each direction.
type Session struct{}

func (s *Session) LocalAddr() netip.AddrPort                             { return netip.AddrPort{} }
func (s *Session) Configure(p Params) error                              { return nil }
func (s *Session) Play(src Source)                                       {}
func (s *Session) Listen(sink Sink)                                      {}
func (s *Session) SendDTMF(digits string, each, gap time.Duration) error { return nil }
func (s *Session) OnDTMF(f func(digit byte))                             {}
func (s *Session) OnTimeout(d time.Duration, f func())                   {}
func (s *Session) Stats() Stats                                          { return Stats{} }
func (s *Session) State() State                                          { return State{} }
func (s *Session) Close() error                                          { return nil }

// Stats are counters.
type Stats struct{}

// State is what a journal stores.
type State struct{}

// Bridge is a relay.
type Bridge struct{}

// Relay joins two sessions.
func Relay(a, b *Session) (*Bridge, error) { return &Bridge{}, nil }

// Close ends the relay.
func (b *Bridge) Close() {}
