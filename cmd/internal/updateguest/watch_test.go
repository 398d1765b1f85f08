//go:build uboot

package main

import (
	"bytes"
	"strings"
	"sync"
	"time"

	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/slots/slotstest"
)

// stage is a part of an update's way, from power-on to the confirmation, as the console and the card see it.
type stage string

const (
	inLoader    stage = "loader"
	inKernel    stage = "kernel"
	inSystem    stage = "system before the update"
	settling    stage = "state of the last update's end"
	firstState  stage = "first state"
	beheading   stage = "boot sector away"
	writing     stage = "slot written, read back"
	heading     stage = "boot sector back"
	trialState  stage = "state of the trial"
	restarting  stage = "restart"
	trialLoader stage = "loader before the trial"
	countdown   stage = "the loader's own state"
	trialKernel stage = "kernel on trial"
	onTrial     stage = "trial"
	confirming  stage = "confirmation"
	confirmed   stage = "confirmed"
)

// stages in which power is cut.
var stages = []stage{inLoader, inKernel, inSystem, firstState, beheading, writing, heading, trialState, restarting, trialLoader, countdown, trialKernel, onTrial, confirming, confirmed}

// extent is how much there is of a stage.
type extent struct {
	changes int // writes and flushes
	time    time.Duration
}

// plan is when power is cut: with change number changes of a stage if that is not 0, else a time after the stage's begin.
type plan struct {
	stage   stage // "": never
	changes int
	after   time.Duration
}

// watch follows a machine from power-on on and takes its power away as planned. The console and the card call it.
type watch struct {
	plan plan
	kill func()

	mu      sync.Mutex // guards all below
	lines   []string   // that matter
	now     stage
	since   time.Time
	changes int // of the stage
	seen    map[stage]extent
	timer   *time.Timer
	dead    bool // power was cut
}

// enter begins a stage; the one that is begun already goes on.
func (w *watch) enter(s stage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.begin(s)
}

// begin is enter with the lock held.
func (w *watch) begin(s stage) {
	if w.now == s || w.dead {
		return
	}
	w.close()
	w.now, w.since, w.changes = s, time.Now(), 0
	if w.plan.stage == s && w.plan.changes == 0 && w.timer == nil {
		w.timer = time.AfterFunc(w.plan.after, func() { w.cut() })
	}
}

// close writes down how much there was of a stage.
func (w *watch) close() {
	if w.seen == nil {
		w.seen = map[stage]extent{}
	}
	if w.now != "" {
		w.seen[w.now] = extent{w.changes, time.Since(w.since)}
	}
}

// end is called when the machine is off.
func (w *watch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.close()
	if w.timer != nil {
		w.timer.Stop()
	}
}

// cut takes the power away, and says in which stage.
func (w *watch) cut() stage {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.dead = true
	w.kill()
	return w.now
}

// line is one of the console.
func (w *watch) line(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(text, "GUEST ") || strings.HasPrefix(text, "parklamp: ") || strings.Contains(text, "panic") {
		w.lines = append(w.lines, text)
	}
	trial := w.now == trialLoader || w.now == countdown
	switch {
	case strings.HasPrefix(text, "U-Boot 20") && w.now != inLoader:
		w.begin(trialLoader)
	case strings.HasPrefix(text, "Starting kernel") && trial:
		w.begin(trialKernel)
	case strings.HasPrefix(text, "Starting kernel"):
		w.begin(inKernel)
	case strings.HasPrefix(text, "GUEST up") && strings.Contains(text, "trial=true"):
		w.begin(onTrial)
	case strings.HasPrefix(text, "GUEST up"):
		w.begin(inSystem)
	case strings.HasPrefix(text, "GUEST install"):
		w.begin(firstState)
	case strings.HasPrefix(text, "GUEST on trial"):
		w.begin(restarting)
	case strings.HasPrefix(text, "GUEST confirmed"):
		w.begin(confirmed)
	}
}

// request is one to the card, before it is done.
func (w *watch) request(c *slotstest.Card, r slotstest.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r.Kind == slotstest.Write {
		w.write(r)
	}
	if r.Kind == slotstest.Read {
		return
	}
	if w.changes++; w.changes == w.plan.changes && w.now == w.plan.stage {
		c.PowerFor(1)
	}
}

// write tells by the place of a write how far the update is.
func (w *watch) write(r slotstest.Request) {
	state := r.At < slots.BootStart
	head := !state && (r.At-slots.BootStart-bootMiB*mib)%(slotMiB*mib) == 0
	alone := head && len(r.Data) == slots.Sector // the boot sector is not written in the kernel's pages
	blank := head && bytes.Equal(r.Data[:slots.Sector], make([]byte, slots.Sector))
	switch {
	case state && (w.now == inLoader || w.now == trialLoader):
		w.begin(countdown)
	case state && w.now == onTrial:
		w.begin(confirming)
	case state && w.now == inSystem:
		w.begin(settling)
	case state && w.now == heading:
		w.begin(trialState)
	case alone && blank && w.now == firstState:
		w.begin(beheading)
	case alone && !blank && w.now == writing:
		w.begin(heading)
	case !state && w.now != heading:
		w.begin(writing)
	}
}
