package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parklamp/cmd/internal/selftest"
	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/parkd/panel"
)

// A card that is full and a sound card that is not there: parking and fetching go on, by lamp and for the caller, and the
// phone says by lamp and voice what ails it. Its self test names both.
func TestFullDiskAndNoSoundCard(t *testing.T) {
	t.Parallel()
	p := &place{T: t, network: newNetwork(), dir: t.TempDir()}
	disk := filepath.Join(p.dir, "disk")
	if err := os.Mkdir(disk, 0o755); err != nil {
		t.Fatal(err)
	}
	// A file system of 256 KiB in a mount namespace of the appliance's own, filled to the last byte.
	full := []string{"unshare", "--mount", "--map-root-user", "sh", "-c",
		"mount -t tmpfs -o size=256k none " + disk + "; cat /dev/zero > " + disk + "/filler 2>&-; exec \"$@\"", "sh"}
	p.start([]site.Member{
		{Name: "dock-1", Number: "201", Addr: p.addr(1), Under: full, Journal: filepath.Join(disk, "journal"), Extra: "[audio]\ncard = \"nowhere\"\n"},
		{Name: "dock-2", Number: "202", Addr: p.addr(2)},
	})
	a := p.dock1()
	st := p.await(a, "conditions", func(st panel.Status) bool { return ailment(st, "storage") != nil && ailment(st, "audio.card") != nil })
	if l := lamp(st, "fault"); l.Pattern != "fault" {
		t.Errorf("the fault lamp shows %q", l.Pattern)
	}
	if c := ailment(st, "storage"); !strings.Contains(c.Text, "full") || c.Hint == "" {
		t.Errorf("storage: %+v", c)
	}
	p.hook(a, true)
	p.await(a, "complaint", func(st panel.Status) bool {
		return st.Phone.Prompt == "attention, storage does not work" && st.Phone.State == "dial-tone"
	})
	p.hook(a, false)

	o := p.call(a, "201", 11, "caller")
	p.answer(a)
	p.press(a, "park")
	p.everywhere("701", "parked-here", "parked-elsewhere")
	p.await(a, "journal", func(st panel.Status) bool { return ailment(st, "journal") != nil })
	p.hook(a, false)
	p.music(o)
	p.fetch(p.dock2(), "701")
	p.everywhere("701", "free")
	p.handset(p.dock2(), speech.Caller())
	p.hook(p.dock2(), false)
	p.idle(p.Appliances...)

	w := &technician{place: p, a: a}
	if err := w.test(panel.SelfTestRequest{Steps: []string{"tones", "microphone", "loop", "disk"}}); err != nil {
		t.Fatal(err)
	}
	r, err := selftest.Decode([]byte(w.end.Report))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"tones handset": "nowhere", "microphone microphone": "nowhere", "loop loudspeaker": "nowhere", "disk space": "full"}
	for _, f := range r.Findings {
		name := fmt.Sprintf("%s %s", f.Step, f.Item)
		if word, ok := want[name]; ok && f.Outcome == selftest.Failed && strings.Contains(f.Text, word) {
			delete(want, name)
		}
	}
	if len(want) > 0 || len(w.asked) != 3 { // nobody is asked for what cannot be heard: loop, disk and the end
		t.Errorf("not found: %v, asked %q\n%s", want, w.asked, w.end.Report)
	}
}

func ailment(st panel.Status, code string) *panel.Condition {
	for i := range st.Health {
		if st.Health[i].Code == code {
			return &st.Health[i]
		}
	}
	return nil
}
