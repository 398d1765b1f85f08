package wire

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"time"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/board"
	"parklamp/cmd/internal/access"
	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/holder"
	"parklamp/cmd/internal/initapi"
	"parklamp/keypad"
	"parklamp/leds"
	"parklamp/media"
	"parklamp/media/moh"
	"parklamp/parkd"
	"parklamp/parkd/federation"
	"parklamp/parkd/panel"
	"parklamp/sip"
	"parklamp/sip/call"
	"parklamp/sip/event"
	"parklamp/sip/event/dialoginfo"
	"parklamp/sip/phone"
	"parklamp/sip/reg"
)

// musicCode and speechCode are the health conditions of a file that the appliance does without, panelCode that of a panel
// that nobody reaches by TCP.
const (
	musicCode  = "music"
	speechCode = "speech"
	panelCode  = "panel"
)

// New makes an appliance, with phone hardware or as a gateway. It opens nothing but the files that the configuration
// names, and starts nothing.
func New(cfg config.Config, version string, withPhone bool, log *slog.Logger) (*Appliance, error) {
	a := &Appliance{cfg: cfg, version: version, log: log, now: time.Now, started: time.Now(), loop: newLoop(),
		codecs: formats(cfg.Media.Codecs), news: &news{watchers: map[int]func(){}}, documents: newDocuments(), legs: map[parkd.LegID]*leg{},
		peers: map[string]panel.Peer{}}
	a.health = health.New(func() { a.news.tell(); a.showHealth() })
	a.examiner = a.newExaminer()
	a.sounds = newSounds(a.loop, a.health, log)
	var err error
	if a.endpoint, err = sip.New(cfg.SIP, log, sip.WithHolder(holder.Of), sip.WithAppliances(a.applianceAt)); err != nil {
		return nil, err
	}
	a.endpoint.OnHealth(a.onListener)
	guard, err := access.Guard(cfg.Access, a.isPeer)
	if err != nil {
		return nil, err
	}
	a.ua = call.New(a.endpoint, cfg.Calls, log)
	a.flood = access.NewFlood(cfg.Access, a.isPeer, a.ua.From)
	a.endpoint.Guard(func(req *gosip.Request, tx *sip.ServerTx) bool {
		return a.flood.Check(req, tx) && (guard == nil || guard(req, tx))
	})
	a.ua.OnIncoming(a.incoming)
	a.agent = event.New(a.endpoint, cfg.Events, log)
	a.agent.NotifyHook(a.ua.HandleNotify)
	a.agent.Serve(event.Package{Name: "dialog", ContentType: dialoginfo.ContentType, Document: a.documents.document})
	if a.registrar, err = reg.New(a.endpoint, cfg.Registration, log); err != nil {
		return nil, fmt.Errorf("registration: %w", err)
	}
	a.registrar.OnState(a.onAccount)
	a.federation = federation.New(cfg.Federation, a.endpoint, a.agent, log, federation.Callbacks{OnPeer: a.onPeer, OnRaise: a.onRaise, OnStill: a.onStill,
		OnHealth: a.onPeerHealth, OnSize: a.onSize})
	a.engine = media.NewEngine(cfg.Media, log)
	a.lot = &lot{a: a, machine: parkd.New(cfg.Lot, cfg.Appliance.Name, uint64(a.started.UnixNano())), know: a.federation.Know, requests: map[string]*request{}}
	a.keeper = newKeeper(a)
	if withPhone {
		if err := a.addPhone(); err != nil {
			return nil, err
		}
	}
	if a.moh, err = moh.Open(cfg.Music); err != nil {
		a.moh = moh.BuiltIn()
		a.health.Raise(a.now(), musicCode, health.Warning, err.Error(), "mend the file, or name another one in music.file, and restart phoned; callers hear the built-in music meanwhile")
	}
	a.panel = panel.New(cfg.Panel, a, log)
	a.panel.UpdateBy(initapi.Forward(initapi.Socket, "/api/update", "/update"))
	a.panel.OnListener(a.onPanel)
	a.panel.NameHolders(func(at netip.AddrPort) string { return holder.Of("tcp", at) })
	return a, nil
}

// addPhone adds the hardware and what uses it.
func (a *Appliance) addPhone() error {
	missing, err := a.openBoard()
	if err != nil {
		return err
	}
	a.lamps = leds.New(a.board, a.log)
	a.missing(missing)
	a.lamps.OnFault(a.lampFault(missing))
	a.desk = &desk{a: a, machine: phone.New(a.cfg.Phone), calls: map[phone.CallID]*leg{},
		jammed: map[board.Key]bool{}}
	may, err := boardSounds(a.cfg.Audio, a.board.Model().Sounds)
	if err != nil {
		return err
	}
	a.may = len(may)
	if a.desk.handset, err = newHandset(may, a.cfg.Tones.Country, a.log, a.soundCard); err != nil {
		a.health.Raise(a.now(), speechCode, health.Warning, err.Error(), "mend the file, or name another one in audio.speech, and restart phoned; the microphone is silent meanwhile")
	}
	a.scanner = keypad.New(a.cfg.Keypad, a.board, func(e keypad.Event) { a.loop.post(func() { a.desk.key(e) }) }, a.log)
	a.scanner.OnFault(a.hardwareFault("keypad", "the keys cannot be read"))
	a.scanner.OnShort(a.shorts)
	return nil
}

// Run serves until ctx ends, then goes as the cause of that says (Going) and returns nil; or it returns the error of the
// part that failed. The parked callers outlive that as they outlive a crash.
func (a *Appliance) Run(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	if a.board != nil {
		defer a.board.Close() // after the lamps and the keypad have ended: nothing stays lit on a phone that is off
	}
	if err := a.revive(); err != nil {
		return err
	}
	sound := begin(base, map[string]part{"media": a.engine.Run})
	wires := begin(base, map[string]part{"sip": a.endpoint.Run})
	select {
	case <-a.endpoint.Ready():
	case <-wires.ended:
		a.engine.Keep()
		return errors.Join(wires.err, sound.end())
	}
	a.log.Info("appliance is up", "name", a.cfg.Appliance.Name, "version", a.version, "listen", a.cfg.SIP.Listen, "panel", a.cfg.Panel.Listen,
		"socket", a.cfg.Panel.Socket)
	calls := begin(base, map[string]part{"dialogs": a.ua.Run, "loop": a.runLoop, "journal": a.keeper.run})
	a.loop.ask(func() {}) // tellStart is over: the first that peers hear is what there is, not a document without an epoch
	events := begin(base, map[string]part{"events": a.agent.Run})
	others := begin(base, a.others())
	select {
	case <-ctx.Done():
	case <-sound.ended:
	case <-wires.ended:
	case <-calls.ended:
	case <-events.ended:
	case <-others.ended:
	}
	return a.leave(ctx, base, calls, others, events, wires, sound)
}

// others are the parts that are neither SIP, media, calls nor what watchers are told.
func (a *Appliance) others() map[string]part {
	parts := map[string]part{
		"links": a.watchLinks, "registration": a.registrar.Run, "federation": a.federation.Run, "panel": a.panel.Run,
	}
	if underInit() { // it judges the disk and the clock
		parts["firmware"] = a.watchFirmware
	} else {
		parts["surroundings"] = surroundings{journal: a.cfg.Journal.Path, health: a.health, now: a.now}.watch
	}
	if a.cfg.Quality.Collector != "" {
		parts["quality"] = a.publishSounds
	}
	if a.desk != nil {
		parts["lamps"], parts["keypad"], parts["audio"] = a.lamps.Run, a.scanKeys, a.desk.handset.run
	}
	parts["selftest"] = a.examiner.Run
	return parts
}

// part is what runs until its context ends.
type part = func(context.Context) error

// group is parts that run together.
type group struct {
	stop  context.CancelFunc
	ended chan struct{} // closed when all have ended
	err   error         // of the part that failed; valid after ended
}

func begin(ctx context.Context, parts map[string]part) *group {
	ctx, stop := context.WithCancel(ctx)
	g := &group{stop: stop, ended: make(chan struct{})}
	go func() {
		defer close(g.ended)
		g.err = runAll(ctx, parts)
	}()
	return g
}

// end stops the parts, waits for them, and returns the error of the one that had failed.
func (g *group) end() error {
	g.stop()
	<-g.ended
	return g.err
}

func (a *Appliance) runLoop(ctx context.Context) error {
	settled := func() {
		a.news.tell()
		if !a.frozen {
			a.keeper.settle()
		}
	}
	a.tellStart()
	settled()
	a.loop.run(ctx, settled)
	return nil
}

// tellStart tells everybody the state at start, so that lamps are right before anything happens.
func (a *Appliance) tellStart() {
	for _, p := range a.cfg.Federation.Peers { // first, as any of them may have taken over who was parked here
		a.peerTold(parkd.Peer{Name: p.Name})
	}
	a.resume()
	a.federation.SetLocal(a.lot.machine.Hosted())
	a.lot.orbitsChanged(a.cfg.Lot.Orbits)
}

// onListener shows a dead listener.
func (a *Appliance) onListener(listen string, err error) {
	code := panel.CodeListener + "." + listen
	if err == nil {
		a.health.Clear(code)
		return
	}
	a.health.Raise(a.now(), code, health.Error, fmt.Sprintf("SIP does not listen on %s: %v", listen, err),
		"it is tried again; check the address and key sip.listen")
}

// onPanel shows a panel that cannot be reached: a phone does without.
func (a *Appliance) onPanel(err error) {
	if err == nil {
		if a.health.Clear(panelCode) {
			a.log.Info("the panel is up", "listen", a.cfg.Panel.Listen)
		}
		return
	}
	if _, known := a.health.Get(panelCode); !known {
		a.log.Error("the panel cannot be opened, and is tried again", "err", err)
	}
	a.health.Raise(a.now(), panelCode, health.Warning, err.Error(), "it is tried again and the phone works meanwhile; a change of the configuration wants a restart of phoned")
}

// hardwareFault makes the fault handler of a piece of hardware.
func (a *Appliance) hardwareFault(name, text string) func(error) {
	return func(err error) {
		if err == nil {
			a.health.Clear(name)
			return
		}
		a.health.Raise(a.now(), name, health.Error, fmt.Sprintf("%s: %v", text, err), "check the wiring of the board")
	}
}

// onAccount shows a registration.
func (a *Appliance) onAccount(s reg.Status) {
	code := "registration." + s.AOR
	switch s.State {
	case reg.Failed:
		a.health.Raise(a.now(), code, health.Error, s.AOR+" is not registered: "+s.Reason, s.Hint)
	case reg.Registered:
		a.health.Clear(code)
	}
	a.news.tell()
}

// onRaise is called when a peer remembers a later life of this appliance than this one.
func (a *Appliance) onRaise(in parkd.RaiseEpoch) {
	a.loop.post(func() { a.lot.step(in) })
}

// onStill is called when this process has stood still, or its machine was suspended.
func (a *Appliance) onStill(in parkd.StoodStill) {
	a.loop.post(func() { a.lot.step(in) })
}

// showHealth lights the fault lamp.
func (a *Appliance) showHealth() {
	if a.lamps == nil {
		return
	}
	state := leds.Free
	for _, c := range a.health.All() {
		if c.Severity == health.Error {
			state = leds.Fault
			break
		}
		state = leds.Warning
	}
	a.lamps.Set("fault", state)
}

// runAll runs the parts and ends all when one fails or ctx ends. A part's error names it.
func runAll(ctx context.Context, parts map[string]part) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, len(parts)) // one for each, never blocks
	for name, run := range parts {
		wg.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				if !strings.HasPrefix(err.Error(), name+": ") {
					err = fmt.Errorf("%s: %w", name, err)
				}
				errs <- err
				cancel()
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}
