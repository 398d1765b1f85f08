package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/speech"
)

// With a password file an outside caller has to prove who he is, and the peers go on without.
func TestAccessByDigest(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(file, []byte("ann:wrench\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, fmt.Sprintf("\n[access]\npassword_file = %q\nalgorithms = [\"MD5\"]\n", file))
	talker := p.talker(11, speech.Caller())
	s, err := peer.StartSIPp(peer.SIPpOptions{Scenario: "caller-auth", Dir: t.TempDir(), Local: p.sip(11), Media: talker.Addr(), Remote: p.sip(1),
		User: "201", Keys: map[string]string{"caller": "5550011"}, AuthUser: "ann", AuthPassword: "wrench"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	o := &outside{s, talker, t}
	p.answer(p.dock1())
	p.press(p.dock1(), "park")
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.fetch(p.dock2(), "701")
	p.conversation(p.dock2(), o)
	p.hook(p.dock2(), false)
	o.ended()

	stranger := p.call(p.dock1(), "201", 12, "caller") // gets 401 where it wants 180 and 200
	select {
	case <-stranger.Done():
	case <-time.After(limit):
		t.Fatal("a caller without a password got through")
	}
	p.idle(p.Appliances...)
}
