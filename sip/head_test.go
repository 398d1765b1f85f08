package sip_test

import (
	"errors"
	"strings"
	"testing"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

func uri(t *testing.T, text string) (u gosip.Uri) {
	t.Helper()
	if err := gosip.ParseUri(text, &u); err != nil {
		t.Fatal(err)
	}
	return u
}

func TestHead(t *testing.T) {
	const contact = "sip:bob@10.0.0.9:5070;method=BYE;transport=tcp;x=y?Subject=z"
	for _, c := range []struct{ name, routes, want, route string }{
		{"no routes", "", "sip:bob@10.0.0.9:5070;transport=tcp;x=y", ""},
		{"loose", "sip:p1;lr sip:p2", "sip:bob@10.0.0.9:5070;transport=tcp;x=y", "<sip:p1;lr> <sip:p2>"},
		{"strict", "sip:p1;method=BYE sip:p2;lr", "sip:p1", "<sip:p2;lr> <" + contact + ">"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := sip.Head{Target: uri(t, contact), From: uri(t, "sip:alice@a.example")}
			for _, r := range strings.Fields(c.routes) {
				h.Routes = append(h.Routes, uri(t, r))
			}
			req := h.Request(gosip.OPTIONS)
			var routes []string
			for _, r := range req.GetHeaders("Route") {
				routes = append(routes, r.Value())
			}
			if got := req.Recipient.String(); got != c.want || strings.Join(routes, " ") != c.route {
				t.Errorf("Request-URI %s by %q, want %s by %q", got, routes, c.want, c.route)
			}
			if got := req.To().Value(); got != "<sip:bob@10.0.0.9;x=y>" {
				t.Errorf("To is %s", got)
			}
			again := h.Request(gosip.OPTIONS)
			a, _ := req.From().Params.Get("tag")
			b, _ := again.From().Params.Get("tag")
			if a == "" || a == b || req.CallID().Value() == "" || req.CallID().Value() == again.CallID().Value() || again.Recipient.String() != c.want {
				t.Errorf("the head is used up:\n%s\n%s", req, again)
			}
			if req.CSeq().SeqNo != 1 || req.Contact() != nil {
				t.Errorf("CSeq %d, Contact %v", req.CSeq().SeqNo, req.Contact())
			}
		})
	}
}

func TestRecordRoutesAreBounded(t *testing.T) {
	req := gosip.NewRequest(gosip.INVITE, uri(t, "sip:bob@10.0.0.9"))
	for range 16 {
		req.AppendHeader(&gosip.RecordRouteHeader{Address: uri(t, "sip:p;lr")})
	}
	if routes, err := sip.RecordRoutes(req); err != nil || len(routes) != 16 {
		t.Errorf("16: %v, %v", routes, err)
	}
	req.AppendHeader(&gosip.RecordRouteHeader{Address: uri(t, "sip:p;lr")})
	if routes, err := sip.RecordRoutes(req); !errors.Is(err, sip.ErrRoutes) || routes != nil {
		t.Errorf("17: %v, %v", routes, err)
	}
}
