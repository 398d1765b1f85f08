package main

import (
	"context"
	"maps"
	"sync"

	"golang.org/x/sys/unix"

	"parklamp/cmd/internal/initapi"
	"parklamp/parkd/panel"
)

// maxRestarts is how many restarts may wait until nobody is disturbed; what comes then is refused.
const maxRestarts = 4

// restarts are those of phoned or of the appliance that were asked for.
type restarts struct {
	*ground
	phone  *phone
	ending chan int      // capacity 1: the reboot(2) command; later ones are dropped
	room   chan struct{} // capacity maxRestarts: one for each that waits; full: refused

	mu      sync.Mutex
	waiting map[string]string // guarded by mu: what the restart of a service waits for
}

func newRestarts(g *ground, p *phone) *restarts {
	return &restarts{ground: g, phone: p, ending: make(chan int, 1), room: make(chan struct{}, maxRestarts), waiting: map[string]string{}}
}

// ask restarts what req says in the background; false if too many wait already.
func (r *restarts) ask(ctx context.Context, req initapi.Restart) bool {
	select {
	case r.room <- struct{}{}:
	default:
		return false
	}
	go func() {
		defer func() { <-r.room }()
		waitFor := inAbsence
		if req.Service == initapi.Phoned {
			waitFor = inRestart
		}
		r.restart(ctx, req, waitFor)
	}()
	return true
}

// settle returns when the last one that was asked for has ended; then none is taken any more.
func (r *restarts) settle() {
	for range maxRestarts {
		r.room <- struct{}{}
	}
}

// restart restarts phoned or the appliance, at once or when nothing is there that it has to wait for.
func (r *restarts) restart(ctx context.Context, req initapi.Restart, waitFor func([]panel.Call) string) {
	if req.When == initapi.Idle {
		if !r.phone.untilIdle(ctx, waitFor, func(why string) { r.waits(req.Service, why) }) {
			return
		}
	}
	r.log.Info("restart was asked for", "what", req.Service, "when", req.When)
	if req.Service == initapi.Phoned {
		r.phone.service.Restart()
		return
	}
	r.askEnd(unix.LINUX_REBOOT_CMD_RESTART)
}

// waits notes what the restart of a service waits for, "" for nothing.
func (r *restarts) waits(service, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if delete(r.waiting, service); why != "" {
		r.waiting[service] = why
	}
}

// askEnd ends the appliance in good order.
func (r *restarts) askEnd(command int) {
	select {
	case r.ending <- command:
	default:
	}
}

// state is what the restarts of services wait for.
func (r *restarts) state() map[string]string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.waiting)
}
