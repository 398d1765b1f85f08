package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"testing"
	"time"

	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/mediatest"
	"parklamp/parkd/panel"
)

// provenPlace is a site whose appliances prove themselves to each other by certificates of parkctl site.
func provenPlace(t *testing.T, srtp, extra string) *place {
	t.Helper()
	return provenPlaceOf(t, bin, srtp, extra)
}

// provenPlaceOf is provenPlace with the programs of a folder.
func provenPlaceOf(t *testing.T, programs, srtp, extra string) *place {
	t.Helper()
	p := &place{T: t, network: newNetwork(), dir: t.TempDir(), bin: programs}
	p.hall = newHall(t, p.network, "dock-1", "dock-2", "office")
	p.hall.srtp = srtp
	p.populate(extra)
	p.Cleanup(func() { p.keepsSecrets() })
	return p
}

// shows is the certificate that an appliance shows to whoever calls it.
func shows(t *testing.T, a *site.Appliance) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", netip.AddrPortFrom(a.Addr, 5061).String(), &tls.Config{InsecureSkipVerify: true}) // it is compared by the test
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// A plain caller is parked at dock-1 and fetched at dock-2 by TLS. Between the two nobody hears what is said, unless srtp
// of the peers is off: then the tap that hears nothing otherwise hears them.
func TestMediaBetweenProvenAppliances(t *testing.T) {
	for name, srtp := range map[string]string{"by default": "", "required": "required", "off": "off"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := provenPlace(t, srtp, "")
			there, back := tapped(t, p.addr(1), p.addr(2)), tapped(t, p.addr(2), p.addr(1))
			o := p.parked(11, "701")
			p.music(o)
			p.fetch(p.dock2(), "701")
			p.conversation(p.dock2(), o)
			plain := srtp == "off"
			suite := ourFirst
			if plain {
				suite = ""
			}
			p.encrypted(p.dock2(), "talking", suite)
			p.encrypted(p.dock1(), "talking", "") // the caller's leg
			for _, w := range []struct {
				*tap
				says []int16
			}{{there, speech.Caller()}, {back, speech.Worker()}} {
				packets, pcm := w.heard()
				score, _ := mediatest.Match(w.says, pcm)
				if packets < 50 || score >= mediatest.Same != plain {
					t.Errorf("%v to %v: %d packets, likeness with what is said %.2f", w.from, w.to, packets, score)
				}
			}
			p.hook(p.dock2(), false)
			o.ended()
			p.idle(p.Appliances...)
		})
	}
}

// A caller waits while dock-2 gets another key and certificate and dock-1 dies: dock-2 proves itself by the new one, the
// lamps of the others tell what is known, and each can have a caller in the end.
func TestProvenAppliancesOutliveRenewalAndKill(t *testing.T) {
	t.Parallel()
	p := provenPlace(t, "", dies)
	one := parkedForGood(p, "caller-reinvite")

	old := shows(t, p.dock2())
	if err := p.hall.open().Renew("dock-2"); err != nil {
		t.Fatal(err)
	}
	p.hall.imports("dock-2")
	for began := time.Now(); shows(t, p.dock2()).Equal(old); time.Sleep(50 * time.Millisecond) { // a file tells nobody that it is new
		if time.Since(began) > limit {
			t.Fatal("dock-2 shows its old certificate")
		}
	}
	p.everywhere("701", "parked-here", "parked-elsewhere")
	two := p.call(p.dock2(), "202", 12, "caller")
	p.answer(p.dock2())
	p.press(p.dock2(), "park") // its claim goes to another appliance, by a connection with the new certificate
	p.everywhere("702", "parked-elsewhere", "parked-here", "parked-elsewhere")
	p.hook(p.dock2(), false)

	killed := time.Now()
	p.cut(p.dock1())
	for _, a := range p.Appliances[1:] {
		p.await(a, "701 unknown", func(st panel.Status) bool { return lamp(st, "orbit-701").Pattern == panel.StateUnknown })
		t.Logf("%s shows unknown after %v", a.Name, time.Since(killed).Round(time.Millisecond))
	}
	p.fetch(p.office(), "702")
	p.conversation(p.office(), two)
	p.hook(p.office(), false)
	two.ended()
	started := time.Now()
	p.comes(p.dock1())
	p.everywhere("701", "parked-here", "parked-elsewhere")
	t.Logf("all lamps are right %v after dock-1 was started again", time.Since(started).Round(time.Millisecond))
	p.music(one)
	p.fetch(p.dock2(), "701")
	p.conversation(p.dock2(), one)
	p.encrypted(p.dock2(), "talking", ourFirst)
	p.hook(p.dock2(), false)
	one.ended()
	p.idle(p.Appliances...)
	for _, a := range p.Appliances {
		if st := p.status(a); alivePeers(st) != 2 {
			t.Errorf("%s: peers %+v", a.Name, st.Peers)
		}
	}
}
