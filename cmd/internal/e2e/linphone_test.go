package e2e

import (
	"context"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"parklamp/cmd/internal/peer"
	"parklamp/cmd/internal/speech"
	"parklamp/media/wav"
)

// linphone is linphonec with a voice of its own: a phone that holds and transfers as desk phones do.
type linphone struct {
	*peer.Linphone
	p *place
}

func (p *place) linphone(user string) *linphone {
	p.Helper()
	return p.linphoneWith(user, peer.LinphoneOptions{})
}

// linphoneWith is linphone with more options.
func (p *place) linphoneWith(user string, o peer.LinphoneOptions) *linphone {
	p.Helper()
	dir := p.T.TempDir()
	says := filepath.Join(dir, "says.wav")
	if err := wav.WriteFile(says, slices.Repeat(clerk(), 10), 8000); err != nil {
		p.Fatal(err)
	}
	o.Dir, o.User, o.Speech = dir, user, says
	l, err := peer.StartLinphone(p.Context(), o)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() {
		l.Stop()
		if p.Failed() {
			p.Logf("linphone %s:\n%s", user, l.Output())
		}
	})
	return &linphone{l, p}
}

func (l *linphone) in(p *place) *linphone { return &linphone{l.Linphone, p} }

// do runs a command and waits until linphone says what matches.
func (l *linphone) do(command, pattern string) []string {
	l.p.Helper()
	ctx, cancel := context.WithTimeout(l.p.Context(), limit)
	defer cancel()
	if err := l.Command(command); err != nil {
		l.p.Fatal(err)
	}
	found, err := l.Await(ctx, regexp.MustCompile(pattern))
	if err != nil {
		l.p.Fatal(err)
	}
	return found
}

// established is what linphone says when a call is answered or resumed.
const established = `Media streams established with \S+ for call (\d+)`

// calls calls somebody who answers, and returns linphone's number of the call.
func (l *linphone) calls(uri string) string {
	l.p.Helper()
	return l.do("call "+uri, established)[1]
}

// hearing is linphone's ear.
func (l *linphone) hearing(ref []int16) ear { return growingOf("linphone", l.Heard, ref) }

// talksWithCaller checks the audio between linphone and an outside caller, both ways.
func (l *linphone) talksWithCaller(o *outside) {
	l.p.Helper()
	l.p.listen(recordingOf("the caller", o.Audio, clerk()), l.hearing(speech.Caller()))
}

// TestLinphoneIsAPhone lets linphone fetch by dialling, hold, park by REFER and park with consultation.
func TestLinphoneIsAPhone(t *testing.T) {
	t.Parallel()
	whole := newPlace(t, "")
	phone := whole.linphone("desk")

	t.Run("holds, resumes and parks", func(t *testing.T) {
		p := whole.in(t)
		l := phone.in(p)
		o := p.parked(11, "701")
		l.calls(uri("701", p.dock1()))
		p.everywhere("701", "free")
		for range 2 {
			l.do("pause", "paused")
			p.music(o)
			l.do("resume", established)
			l.talksWithCaller(o)
		}
		l.do("transfer "+uri("702", p.dock1()), "ended")
		p.everywhere("702", "parked-here", "parked-elsewhere")
		p.music(o)
		p.fetch(p.office(), "702")
		p.conversation(p.office(), o)
		p.hook(p.office(), false)
		o.ended()
		p.idle(p.Appliances...)
	})

	t.Run("parks with consultation", func(t *testing.T) {
		p := whole.in(t)
		l := phone.in(p)
		o := p.parked(12, "701")
		first := l.calls(uri("701", p.dock2()))
		p.everywhere("701", "free")
		l.do("pause", "paused")
		second := l.calls(uri("*68703", p.dock2()))
		p.everywhere("703", "parked-elsewhere", "parked-here", "parked-elsewhere")
		l.do("transfer "+first+" --to-call "+second, `Call `+second+` .* ended`)
		p.everywhere("703", "parked-elsewhere", "parked-here", "parked-elsewhere")
		p.music(o)
		p.fetch(p.office(), "703")
		p.everywhere("703", "free")
		p.conversation(p.office(), o)
		p.hook(p.office(), false)
		o.ended()
		p.idle(p.Appliances...)
	})
}
