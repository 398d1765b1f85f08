package wire

import (
	"context"
	"errors"
	"testing"
	"time"

	"parklamp/cmd/internal/config"
	"parklamp/cmd/internal/initapi"
	"parklamp/parkd/federation"
)

// How the appliance goes by what it was told first and later.
func TestTold(t *testing.T) {
	for _, c := range []struct{ first, later, want Going }{
		{Restart, Restart, Restart},
		{Restart, Reboot, Reboot},
		{Restart, Final, Final},
		{Reboot, Final, Reboot}, // the end of a machine that starts anew
		{Reboot, Restart, Reboot},
		{Final, Restart, Final},
		{Final, Reboot, Final},
	} {
		ctx, stop := context.WithCancelCause(t.Context())
		told := NewTold(c.first)
		stop(told)
		if g := goingOf(ctx); g != c.first {
			t.Errorf("told to %v: goes as for %v", c.first, g)
		}
		told.Again(c.later)
		if g := goingOf(ctx); g != c.want || told.Error() != c.want.Error() {
			t.Errorf("told to %v, then to %v: goes as for %v, want %v", c.first, c.later, g, c.want)
		}
	}
	ctx, stop := context.WithCancelCause(t.Context())
	if g := goingOf(ctx); g != Restart {
		t.Errorf("a part has failed: goes as for %v", g)
	}
	stop(errors.New("whatever"))
	if g := goingOf(ctx); g != Final {
		t.Errorf("another cause: goes as for %v", g)
	}
}

// The first process of an image does not kill phoned while it goes in good order, whatever the configuration says: then nobody
// would be told good-bye, and the journal would not be closed.
func TestGoesBeforeItIsKilled(t *testing.T) {
	cfg := config.Default()
	cfg.Federation.TakeOver = time.Minute
	for cfg.Events.ShutdownFor = 0; cfg.Events.Validate() == nil; cfg.Events.ShutdownFor += time.Second {
		took := takeOver(cfg, true)
		if all := took + cfg.Events.ShutdownFor + goodbyes; took < federation.Default().TakeOver || all > initapi.EndFor {
			t.Errorf("shutdown_for = %v: %v for the peers, %v in all; killed after %v", cfg.Events.ShutdownFor, took, all, initapi.EndFor)
		}
	}
	if took := takeOver(cfg, false); took != time.Minute {
		t.Errorf("nobody kills it: %v for the peers, want what is configured", took)
	}
}
