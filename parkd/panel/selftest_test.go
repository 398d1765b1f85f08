package panel

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// fakeTester is a phone that can be tested: it tells what it was asked for and waits for the reader to go.
type fakeTester struct {
	*fakePhone
	asked []SelfTestRequest
	gone  chan struct{} // capacity 1
	stays bool          // it never ends by itself
	// reports are names and texts, by turns; none: one that is empty.
	reports []string
}

func (f *fakeTester) SelfTest(ctx context.Context, r SelfTestRequest) (<-chan []byte, error) {
	f.asked = append(f.asked, r)
	for _, s := range r.Steps {
		if s != "keys" {
			return nil, fmt.Errorf("%w: step %q", ErrInvalid, s)
		}
	}
	events := make(chan []byte, 2)
	events <- []byte(`{"ask":{"text":"Press 5."}}`)
	if f.stays {
		context.AfterFunc(ctx, func() { f.gone <- struct{}{} })
		return events, nil
	}
	events <- []byte(`{"end":{}}`)
	close(events)
	return events, nil
}

func (f *fakeTester) Reports() ([]string, error) {
	if f.reports == nil {
		return []string{"selftest-1.json"}, nil
	}
	var names []string
	for i := 0; i < len(f.reports); i += 2 {
		if strings.HasSuffix(f.reports[i], ".json") {
			names = append(names, f.reports[i])
		}
	}
	return names, nil
}

func (f *fakeTester) Report(name string) ([]byte, error) {
	if i := slices.Index(f.reports, name); i >= 0 {
		return []byte(f.reports[i+1]), nil
	}
	if name != "selftest-1.json" || f.reports != nil {
		return nil, fmt.Errorf("%w: %q", ErrNoSuchReport, name)
	}
	return []byte("{}\n"), nil
}

func testServer(t testing.TB, b Backend) *httptest.Server {
	s := httptest.NewServer(New(Default(), b, slog.New(slog.DiscardHandler)).routes())
	t.Cleanup(s.Close)
	return s
}

func TestSelfTestOverTheAPI(t *testing.T) {
	b := &fakeTester{fakePhone: newFakePhone()}
	s := testServer(t, b)
	for _, c := range []struct {
		name, method, path, body string
		code                     int
		says                     string
	}{
		{"all of it", "POST", "selftest", `{}`, 200, "{\"ask\":{\"text\":\"Press 5.\"}}\n{\"end\":{}}\n"},
		{"some of it", "POST", "selftest", `{"steps":["keys"],"force":true}`, 200, `{"end":{}}`},
		{"no such step", "POST", "selftest", `{"steps":["eyes"]}`, 400, "eyes"},
		{"too many steps", "POST", "selftest", `{"steps":["keys"` + strings.Repeat(`,"keys"`, maxSteps) + `]}`, 400, "too many"},
		{"odd field", "POST", "selftest", `{"step":"keys"}`, 400, "unknown field"},
		{"no body", "POST", "selftest", ``, 400, "request body"},
		{"reports", "GET", "selftest/reports", "", 200, `["selftest-1.json"]`},
		{"one", "GET", "selftest/reports/selftest-1.json", "", 200, "{}"},
		{"no such report", "GET", "selftest/reports/selftest-2.json", "", 404, "no such report"},
		{"out of the folder", "GET", "selftest/reports/..%2f..%2fetc%2fpasswd", "", 404, "no such report"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, s.URL+"/api/"+c.path, strings.NewReader(c.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != c.code || !strings.Contains(string(text), c.says) {
			t.Errorf("%s: %d %q %v, want %d with %q", c.name, res.StatusCode, text, err, c.code, c.says)
		}
	}
	if len(b.asked) != 3 || !b.asked[1].Force {
		t.Errorf("asked %+v", b.asked)
	}
}

// A reader that goes ends the test.
func TestSelfTestEndsWithItsReader(t *testing.T) {
	b := &fakeTester{fakePhone: newFakePhone(), gone: make(chan struct{}, 1), stays: true}
	s := testServer(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "POST", s.URL+"/api/selftest", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := res.Body.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-b.gone
	res.Body.Close()
}

// A phone that cannot test itself has no such resource.
func TestNoSelfTest(t *testing.T) {
	s := testServer(t, newFakePhone())
	res, err := s.Client().Post(s.URL+"/api/selftest", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 404 {
		t.Errorf("%s", res.Status)
	}
}

// Whatever is posted is answered, and what reaches the phone is what was written.
func FuzzSelfTestRequest(f *testing.F) {
	f.Add([]byte(`{"steps":["keys"],"force":true}`))
	f.Add([]byte(`{"steps":null}`))
	f.Add([]byte(`{"steps":["keys"]}{}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		b := &fakeTester{fakePhone: newFakePhone()}
		routes := New(Default(), b, slog.New(slog.DiscardHandler)).routes()
		r := httptest.NewRequest("POST", "/api/selftest", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := &deadlines{httptest.NewRecorder()}
		routes.ServeHTTP(w, r)
		var want SelfTestRequest
		if len(b.asked) > 0 && (json.Unmarshal(body, &want) != nil || len(want.Steps) != len(b.asked[0].Steps) || want.Force != b.asked[0].Force) {
			t.Errorf("%q became %+v", body, b.asked[0])
		}
		if w.Code != 200 && w.Code != 400 && w.Code != 413 {
			t.Errorf("%q: %d", body, w.Code)
		}
	})
}

// deadlines is a recorder that takes deadlines, as a connection does.
type deadlines struct{ *httptest.ResponseRecorder }

func (*deadlines) SetReadDeadline(time.Time) error  { return nil }
func (*deadlines) SetWriteDeadline(time.Time) error { return nil }
