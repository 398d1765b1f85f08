package netconf

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestParseLease(t *testing.T) {
	for name, c := range map[string]struct{ env, want string }{
		"all of it": {"interface=eth0|ip=192.0.2.7|subnet=255.255.255.0|router=192.0.2.1 192.0.2.2|dns=192.0.2.53 nonsense|domain=example.com|ntpsrv=192.0.2.123|lease=3600|serverid=192.0.2.1|" +
			"opt132=313030|opt160=" + hex.EncodeToString([]byte("https://desk.example.com/p")) + "|tftp=http://192.0.2.9/x",
			"192.0.2.7/24 [192.0.2.1 192.0.2.2] [192.0.2.53] example.com [192.0.2.123] 100 [https://desk.example.com/p http://192.0.2.9/x] 1h0m0s"},
		"least":                         {"ip=10.0.0.9|subnet=255.255.0.0", "10.0.0.9/16 [] []  [] 0 [] 0s"},
		"mask as a number":              {"ip=10.0.0.9|mask=20", "10.0.0.9/20 [] []  [] 0 [] 0s"},
		"no address":                    {"subnet=255.255.0.0", "error"},
		"mask with a hole":              {"ip=10.0.0.9|subnet=255.0.255.0", "error"},
		"multicast":                     {"ip=224.0.0.9|subnet=255.0.0.0", "error"},
		"of all everywhere":             {"ip=255.255.255.255|subnet=255.255.255.0", "error"},
		"of all in the network":         {"ip=10.0.0.255|subnet=255.255.255.0", "error"},
		"of the network":                {"ip=10.0.0.0|mask=24", "error"},
		"ends in 255, of a host":        {"ip=10.0.0.255|mask=23", "10.0.0.255/23 [] []  [] 0 [] 0s"},
		"of a link of two":              {"ip=10.0.0.0|mask=31", "10.0.0.0/31 [] []  [] 0 [] 0s"},
		"TFTP name is no URL":           {"ip=10.0.0.9|mask=8|tftp=boot.example.com", "10.0.0.9/8 [] []  [] 0 [] 0s"},
		"option 132 as two bytes":       {"ip=10.0.0.9|mask=8|opt132=0064", "10.0.0.9/8 [] []  [] 100 [] 0s"},
		"option 132 as VLAN-A=20;":      {"ip=10.0.0.9|mask=8|opt132=" + hex.EncodeToString([]byte("VLAN-A=20;")), "10.0.0.9/8 [] []  [] 20 [] 0s"},
		"option 132 out of range":       {"ip=10.0.0.9|mask=8|opt132=" + hex.EncodeToString([]byte("4095")), "10.0.0.9/8 [] []  [] 0 [] 0s"},
		"option 132 as udhcpc reads it": {"ip=10.0.0.9|mask=8|vlanid=7", "10.0.0.9/8 [] []  [] 7 [] 0s"},
		"URL with a line feed":          {"ip=10.0.0.9|mask=8|tftp=http://x/\nHost: y", "10.0.0.9/8 [] []  [] 0 [] 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := parseLease(strings.Split(c.env, "|"))
			got := fmt.Sprint(l.Addr, " ", l.Routers, " ", l.DNS, " ", l.Domain, " ", l.NTP, " ", l.VLAN, " ", l.URLs, " ", l.For)
			if err != nil {
				got = "error"
			}
			if got != c.want {
				t.Errorf("%s (%v), want %s", got, err, c.want)
			}
		})
	}
}

// RFC 3442: classless routes replace the router.
func TestClasslessRoutes(t *testing.T) {
	l, err := parseLease([]string{"ip=10.0.0.9", "mask=8", "router=10.0.0.1", "staticroutes=0.0.0.0/0 10.0.0.2 192.0.2.0/24 0.0.0.0 bad"})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(l.setting().Routes); got != "[{0.0.0.0/0 10.0.0.2} {192.0.2.0/24 invalid IP}]" {
		t.Error(got)
	}
}

func FuzzParseLease(f *testing.F) {
	f.Add("interface=eth0\nip=192.0.2.7\nsubnet=255.255.255.0\nrouter=192.0.2.1\nopt132=313030\nstaticroutes=0.0.0.0/0 10.0.0.2")
	f.Add("ip=10.0.0.9\nmask=33\nlease=99999999999")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := parseLease(strings.Split(text, "\n"))
		if err != nil {
			return
		}
		again, err := parseLease(strings.Split(text, "\n"))
		if err != nil || !reflect.DeepEqual(l, again) {
			t.Fatalf("%+v and %+v, %v", l, again, err)
		}
		if l.VLAN < 0 || l.VLAN > maxVLAN || !l.Addr.Addr().Is4() || len(l.Routes) > maxRoutes || len(l.URLs) > 3 || len(l.DNS) > maxList {
			t.Fatalf("%+v", l)
		}
	})
}
