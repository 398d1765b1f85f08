package authority

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

var day = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func TestIssue(t *testing.T) {
	a, root, err := New("hall", day)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := a.Issue(Subject{ID: "dock-7", Address: netip.MustParseAddr("192.0.2.7"), From: day.Add(-Backdate), Until: day.Add(Lifetime)})
	if err != nil {
		t.Fatal(err)
	}
	ca, err := Parse(root.Cert)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := Parse(pair.Cert)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []time.Time{{}, day, day.Add(14 * 365 * 24 * time.Hour)} {
		if err := Verify(cert, ca, at); err != nil {
			t.Errorf("at %v: %v", at, err)
		}
	}
	for _, at := range []time.Time{day.Add(-48 * time.Hour), day.Add(16 * 365 * 24 * time.Hour)} {
		if Verify(cert, ca, at) == nil {
			t.Errorf("at %v: in force", at)
		}
	}
	for _, name := range []string{"dock-7", "192.0.2.7"} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if cert.VerifyHostname("dock-8") == nil || cert.URIs[0].String() != "sip:dock-7" {
		t.Errorf("names: %v %v", cert.DNSNames, cert.URIs)
	}

	other, otherRoot, err := New("hall", day)
	if err != nil {
		t.Fatal(err)
	}
	if foreign, _ := Parse(otherRoot.Cert); Verify(cert, foreign, day) == nil {
		t.Error("another authority of the same name vouches for the certificate")
	}
	if Verify(ca, cert, day) == nil {
		t.Error("an appliance's certificate vouches for another")
	}
	if _, err := Load(pair); err == nil || !strings.Contains(err.Error(), "no authority") {
		t.Errorf("an appliance's pair as an authority: %v", err)
	}
	if again, err := Load(root); err != nil || again.cert.SerialNumber.Cmp(a.cert.SerialNumber) != 0 || other.cert.Equal(a.cert) {
		t.Errorf("load: %v", err)
	}
}

func TestIssueNeverInForce(t *testing.T) {
	a, _, err := New("hall", day)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Issue(Subject{ID: "dock-7", From: day, Until: day.Add(-time.Hour)}); err == nil {
		t.Error("a certificate that ends before it begins")
	}
}
