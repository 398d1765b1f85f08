package initapi

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
)

// Dial connects to the first process, whatever address is asked for: for the Transport of an http.Client.
func Dial(socket string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}
}

// Forward hands requests to the path of the first process's API, and what is below prefix to what is below path, with their bodies
// as they come and their queries. Where there is no such socket the answer is 204 to GET and 404 to the rest.
func Forward(socket, prefix, path string) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host, r.Out.URL.Path, r.Out.Host = "http", "init", path+strings.TrimPrefix(r.In.URL.Path, prefix), "init"
		},
		Transport: &http.Transport{DialContext: Dial(socket), DisableKeepAlives: true},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			code, text := http.StatusBadGateway, "the first process does not answer: "+err.Error()
			if errors.Is(err, fs.ErrNotExist) {
				if r.Method == http.MethodGet { // who asks gets an answer: there is none
					w.WriteHeader(http.StatusNoContent)
					return
				}
				code, text = http.StatusNotFound, NoUpdateWords
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": text}) // the head is out
		},
	}
}
