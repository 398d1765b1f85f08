package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"time"

	"parklamp/cmd/internal/site"
)

//go:embed page.html
var pageText string

// page is the outside caller's page: which phone to ring, and links to the panels.
type page struct {
	caller *caller
	phones []*site.Appliance
	view   *template.Template
}

// servePage serves until ctx ends.
func servePage(ctx context.Context, at netip.AddrPort, c *caller, phones []*site.Appliance) error {
	view, err := template.New("page").Parse(pageText)
	if err != nil {
		return err
	}
	p := &page{caller: c, phones: phones, view: view}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.show)
	mux.HandleFunc("GET /state", p.state)
	mux.HandleFunc("POST /ring/{name}", p.ring)
	mux.HandleFunc("POST /hangup", func(w http.ResponseWriter, _ *http.Request) { done(w, c.hangUp()) })
	l, err := net.Listen("tcp", at.String())
	if err != nil {
		return err
	}
	s := &http.Server{Handler: http.NewCrossOriginProtection().Handler(mux), ReadHeaderTimeout: 5 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stopped()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (p *page) show(w http.ResponseWriter, _ *http.Request) {
	_ = p.view.Execute(w, map[string]any{"Caller": callerName, "Number": callerNumber, "Phones": p.phones}) // the browser is gone
}

func (p *page) state(w http.ResponseWriter, _ *http.Request) {
	p.caller.mu.Lock()
	state := p.caller.state
	p.caller.mu.Unlock()
	_ = json.NewEncoder(w).Encode(state)
}

func (p *page) ring(w http.ResponseWriter, r *http.Request) {
	for _, a := range p.phones {
		if a.Name == r.PathValue("name") {
			done(w, p.caller.ring(a.Name, a.Number, netip.AddrPortFrom(a.Addr, 5060)))
			return
		}
	}
	http.Error(w, "no such phone", http.StatusNotFound)
}

func done(w http.ResponseWriter, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
