package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/slots"
	"parklamp/cmd/internal/slots/slotstest"
	bundles "parklamp/cmd/internal/update"
)

const virt = "qemu-virt"

// imageFolder is what make image leaves, of a version.
func imageFolder(t *testing.T, version string, at time.Time) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "slot"), 0o755); err != nil {
		t.Fatal(err)
	}
	env := "board=" + virt + "\nversion=" + version + "\ntime=" + at.Format(time.RFC3339) + "\nkernel=zImage\n"
	for name, data := range map[string][]byte{"slot/slot.env": []byte(env), "slot.img": bytes.Repeat([]byte(version), slots.Sector)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func siteKey(t *testing.T, seed byte) (ed25519.PublicKey, string) {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "update.key")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return key.Public().(ed25519.PublicKey), path
}

// fleetOfOne is an appliance behind a panel that restarts when it is told: it starts what is on trial, healthy or not.
func fleetOfOne(t *testing.T, now time.Time, key ed25519.PublicKey, healthy bool) string {
	t.Helper()
	card := slotstest.NewCard(64<<10, slots.State{Seq: 1, Good: slots.A})
	disk, err := slots.NewDisk(card)
	if err != nil {
		t.Fatal(err)
	}
	copy(card.Bytes(disk.Slot(slots.A)), bytes.Repeat([]byte("v1.0.0"), slots.Sector))
	var handler atomic.Pointer[bundles.Updater]
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	var start func(boot slots.Boot, version string, at time.Time)
	start = func(boot slots.Boot, version string, at time.Time) {
		var u *bundles.Updater
		u = bundles.New(bundles.Config{Disk: disk, Running: boot.Slot, Trial: boot.Trial, Keys: []ed25519.PublicKey{key}, Log: slog.New(slog.DiscardHandler),
			System:  bundles.System{Board: virt, Version: version, Time: at},
			Busy:    func(context.Context) (string, error) { return "", nil },
			Healthy: func(context.Context) (bool, string) { return healthy, "no peer" },
			Restart: func(string) {
				time.AfterFunc(30*time.Millisecond, func() {
					if healthy {
						start(slots.Boot{Slot: boot.Slot.Other()}, u.Status().Target, at.Add(time.Hour))
					} else {
						start(boot, version, at)
					}
				})
			}})
		handler.Store(u)
		go u.Run(ctx)
	}
	start(slots.Boot{Slot: slots.A}, "v1.0.0", now)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/api/update") {
			http.NotFound(w, r)
			return
		}
		handler.Load().ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// Who bundles before there is an image is told what makes it.
func TestBundleWithoutImage(t *testing.T) {
	_, key := siteKey(t, 1)
	for folder, want := range map[string]string{"out/image/rpi": "no image is in out/image/rpi; 'make image BOARD=rpi' makes it", "none": "the first argument is the folder that make image fills"} {
		if code, _, errs := parkctl("", "bundle", folder, key); code != exitError || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, %s", folder, code, errs)
		}
	}
}

// Who is refused hears why, however long the bundle is, and sends its head only; to an appliance that cannot be asked so, nothing,
// if that does not want it.
func TestUpdateRefusedAtOnce(t *testing.T) {
	_, key := siteKey(t, 1)
	file := filepath.Join(t.TempDir(), "long.bundle")
	if code, _, errs := parkctl("", "bundle", imageFolder(t, "v1.1.0", time.Now()), key, file); code != 0 {
		t.Fatal(errs)
	}
	for check, want := range map[int]string{http.StatusForbidden: file + " is not sent: %s says: another site's\n", http.StatusNotFound: "%s says: another site's\n"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.HasSuffix(r.URL.Path, bundles.CheckPath) {
				w.WriteHeader(http.StatusForbidden)
			} else {
				if r.ContentLength > int64(bundles.HeadSize) {
					t.Errorf("%d bytes are sent to be judged", r.ContentLength)
				}
				w.WriteHeader(check)
			}
			io.WriteString(w, `{"error":"another site's"}`)
		}))
		code, out, errs := parkctl("", "update", "--at", server.URL, file)
		server.Close()
		if want = fmt.Sprintf("parkctl: "+want, strings.TrimPrefix(server.URL, "http://")); code != exitError || errs != want {
			t.Errorf("%d:\n%s%s", code, out, errs)
		}
	}
}

// answers is a connection on which an appliance says what a test makes of each question; nil is silence.
type answers func() *bundles.Status

func (a answers) RoundTrip(*http.Request) (*http.Response, error) {
	st := a()
	if st == nil {
		return nil, errors.New("no route to host")
	}
	text, err := json.Marshal(st)
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(text))}, err
}

// As long as the appliance may be on trial nobody says that it has not come back.
func TestFollowATrial(t *testing.T) {
	trial, back := &bundles.Status{Stage: bundles.Trial, Version: "v2"}, &bundles.Status{Stage: bundles.Failed, Version: "v1", Error: "no calls"}
	for name, x := range map[string]struct {
		said  map[time.Duration]*bundles.Status // from that time on
		takes time.Duration
		want  string
	}{
		"talks on":           {map[time.Duration]*bundles.Status{time.Minute: trial, 3 * time.Hour: {Stage: bundles.Idle, Version: "v2"}}, 3 * time.Hour, "<nil>"},
		"uncounted":          {map[time.Duration]*bundles.Status{time.Minute: trial, time.Minute + bundles.UncountedFor: nil, 3*time.Minute + bundles.UncountedFor: back}, 3*time.Minute + bundles.UncountedFor, "the appliance was not updated: no calls; v1 runs"},
		"not heard":          {map[time.Duration]*bundles.Status{2*startWithin + bundles.UncountedFor: back}, 2*startWithin + bundles.UncountedFor, "the appliance was not updated: no calls; v1 runs"},
		"same version, kept": {map[time.Duration]*bundles.Status{0: nil, time.Minute: {Stage: bundles.Idle, Version: "v2", Slot: "b"}}, time.Minute, "<nil>"},
		"same version, fell back": {map[time.Duration]*bundles.Status{0: nil, time.Minute: {Stage: bundles.Failed, Version: "v2", Slot: "a", Error: "no peer"}},
			time.Minute, "the appliance was not updated: no peer; v2 runs"},
		"stays away": {map[time.Duration]*bundles.Status{time.Minute: trial, time.Hour: nil}, time.Hour + silentFor, "hall has not come back within 15m0s"},
	} {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			from := slices.Sorted(maps.Keys(x.said))
			p := place{http: &http.Client{Transport: answers(func() (now *bundles.Status) {
				for _, at := range from {
					if time.Since(begin) >= at {
						now = x.said[at]
					}
				}
				return now
			})}, url: "http://hall/api/update", name: "hall"}
			before := bundles.Status{Version: "v1", Target: "v2", Slot: "a"}
			if strings.HasPrefix(name, "same version") {
				before.Version = "v2"
			}
			err := (&tool{out: io.Discard, retry: time.Second}).follow(t.Context(), p, before)
			if took := time.Since(begin).Truncate(time.Minute); took != x.takes || !strings.Contains(fmt.Sprint(err), x.want) {
				t.Errorf("%s: after %v, want %v: %v, want %s", name, took, x.takes, err, x.want)
			}
		})
	}
}

// A panel that is none cannot write on the technician's terminal what it likes.
func TestUpdateShowsControlCharacters(t *testing.T) {
	for name, x := range map[string]struct {
		code   int
		answer string
	}{
		"refuses":     {409, `{"error":"\u001b[2Jv9 runs and is confirmed\nfaked"}`},
		"status":      {200, `{"stage":"idle\u001b[2J","version":"\u001b[31mv9\n","slot":"a\u001b","board":"x\r","target":"\u0007","waiting":"\u001b","error":"\u009b1m\n"}`},
		"status line": {200, "no JSON"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			fmt.Fprintf(conn, "HTTP/1.1 %d \x1b[2J\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", x.code, len(x.answer), x.answer)
			conn.Close()
		}))
		_, out, errs := parkctl("", "update", "--at", server.URL, "status")
		server.Close()
		if all := out + errs; strings.ContainsAny(all, "\x1b\x07\r\u009b") || strings.Count(all, "\n") != 1 {
			t.Errorf("%s: printed %q", name, all)
		}
	}
}

func TestUpdateFromTheDesk(t *testing.T) {
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	public, key := siteKey(t, 1)
	_, foreign := siteKey(t, 2)
	newer, older := imageFolder(t, "v1.1.0", day.Add(time.Hour)), imageFolder(t, "v0.9.0", day)
	for _, dir := range []string{newer, older} {
		if code, out, errs := parkctl("", "bundle", dir, key); code != 0 || !strings.Contains(out, "for qemu-virt") {
			t.Fatalf("bundle: %d %s%s", code, out, errs)
		}
	}
	file := filepath.Join(newer, "qemu-virt-v1.1.0.bundle")
	old := filepath.Join(older, "qemu-virt-v0.9.0.bundle")
	wrong := filepath.Join(t.TempDir(), "foreign.bundle")
	if code, _, errs := parkctl("", "bundle", newer, foreign, wrong); code != 0 {
		t.Fatal(errs)
	}
	// Both sites' have one name; a site's own may be made anew.
	if code, _, errs := parkctl("", "bundle", newer, foreign); code != exitError || !strings.Contains(errs, "qemu-virt-v1.1.0.bundle is there and was not made with this key: move it away") {
		t.Errorf("over another site's bundle: %d %s", code, errs)
	}
	if code, _, errs := parkctl("", "bundle", newer, key); code != 0 {
		t.Error(errs)
	}
	// No appliance could tell whether it is later than a commit.
	if code, _, errs := parkctl("", "bundle", newer, key, filepath.Join(t.TempDir(), "min.bundle"), "--min-version", "d0bc146"); code != exitUsage || !strings.Contains(errs, "--min-version d0bc146: want a release, such as v1.2.3") {
		t.Errorf("since a commit: %d %s", code, errs)
	}
	// What an appliance would refuse by the head, and what is damaged, is not sent.
	damaged := func(dir, from string, change func([]byte) []byte) string {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "damaged-"+filepath.Base(from))
		if err := os.WriteFile(path, change(data), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	cutOff := damaged(t.TempDir(), file, func(b []byte) []byte { return b[:len(b)-9] })
	flipped := damaged(newer, file, func(b []byte) []byte { b[len(b)-6] ^= 1; return b })
	runs := imageFolder(t, "v1.0.0", day)
	if code, _, errs := parkctl("", "bundle", runs, key); code != 0 {
		t.Fatal(errs)
	}
	same := filepath.Join(runs, "qemu-virt-v1.0.0.bundle")
	sameCut := damaged(newer, same, func(b []byte) []byte { return b[:len(b)-9] })
	other := imageFolder(t, "v1.1.0", day.Add(time.Hour))
	if err := os.WriteFile(filepath.Join(other, "slot/slot.env"), []byte("board=rpi\nversion=v1.1.0\ntime=2026-11-01T01:00:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := parkctl("", "bundle", other, key); code != 0 {
		t.Fatal(errs)
	}
	web := httptest.NewServer(http.FileServer(http.Dir(newer)))
	defer web.Close()
	for _, x := range []struct {
		name    string
		healthy bool
		args    []string
		code    int
		want    []string
	}{
		{"a file", true, []string{file}, 0, []string{"written, read back", "restarts into v1.1.0", "v1.1.0 runs and is confirmed"}},
		{"an address", true, []string{web.URL + "/qemu-virt-v1.1.0.bundle", "--now"}, 0, []string{"v1.1.0 runs and is confirmed"}},
		{"ill", false, []string{file}, 1, []string{"is not sent: it may not be kept, since the system that runs is not healthy itself: no peer; mend that first, or say --anyway"}},
		{"ill, anyway", false, []string{file, "--anyway"}, 1, []string{"Warning: it may not be kept, since the system that runs is not healthy itself: no peer.\n", "not updated", "was not healthy", "v1.0.0 runs"}},
		{"older", true, []string{old}, 1, []string{"--downgrade-from v1.0.0"}},
		{"another site's", true, []string{wrong}, 1, []string{"foreign.bundle is not sent: 127.0.0.1:", "signature is wrong"}},
		{"another board's", true, []string{filepath.Join(other, "rpi-v1.1.0.bundle")}, 1, []string{"is not sent: 127.0.0.1:", "it is for rpi and this is a qemu-virt"}},
		{"cut off", true, []string{cutOff}, 1, []string{"damaged-qemu-virt-v1.1.0.bundle is not sent: the bundle is cut off"}},
		{"damaged", true, []string{flipped}, 1, []string{"is not sent: the bundle is damaged"}},
		{"runs", true, []string{same}, 0, []string{"The appliance runs v1.0.0 already."}},
		{"runs, cut off", true, []string{sameCut}, 1, []string{"is not sent: the bundle is cut off"}},
		{"runs, from afar, cut off", true, []string{web.URL + "/damaged-qemu-virt-v1.0.0.bundle"}, 1, []string{"is not sent: the bundle is cut off"}},
		{"from afar, damaged", true, []string{web.URL + "/damaged-qemu-virt-v1.1.0.bundle"}, 1, []string{"says: update to v1.1.0: the bundle is damaged"}},
		{"no bundle", true, []string{key}, 1, []string{"update.key is not sent: not an update bundle"}},
		{"a folder", true, []string{newer}, 1, []string{"is no file: want a bundle"}},
		{"no such file", true, []string{"none.bundle"}, 1, []string{"none.bundle", "which make bundle makes"}},
		{"no such way", true, []string{"htp://x"}, 2, []string{"htp is no way to a bundle: want http://, https:// or a file"}},
		{"no such address", true, []string{web.URL + "/none"}, 1, []string{"404"}},
		{"state", true, []string{"status"}, 0, []string{"qemu-virt runs v1.0.0 from slot a: idle"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			at := fleetOfOne(t, day, public, x.healthy)
			code, out, errs := parkctl("", append([]string{"update", "--at", at}, x.args...)...)
			for _, want := range x.want {
				if code != x.code || !strings.Contains(out+errs, want) {
					t.Errorf("%d, want %d with %q:\n%s%s", code, x.code, want, out, errs)
				}
			}
		})
	}
	back := imageFolder(t, "v0.8.0", day)
	if code, out, errs := parkctl("", "bundle", back, key, "--downgrade-from", "v1.0.0"); code != 0 || !strings.Contains(out, "It goes back from v1.0.0 until ") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if _, err := os.Stat(filepath.Join(back, "qemu-virt-v0.8.0.bundle")); err == nil {
		t.Error("a bundle that goes back has the name of the one for everybody")
	}
	for version, want := range map[string]int{"v1.0": 0, "1.2.3-rc.1-4-gabc1234-dirty": 0, "3f019e4": 0, "hall-2026-3-gabc1234": 0, "3f019e4-dirty": 0,
		"release/5": exitUsage, "release 5": exitUsage, "-5": exitUsage} {
		code, out, errs := parkctl("", "bundle", back, key, "--downgrade-from="+version)
		if code != want || code != 0 && !strings.Contains(errs, "--downgrade-from "+version+": want the version") || strings.Contains(out, " is no version like ") {
			t.Errorf("--downgrade-from %s: %d %s%s", version, code, out, errs)
		}
	}
	// A system of a tag of another form can go back too; what may be mistyped is told of.
	for _, version := range []string{"release-5", "3f019", "latest"} {
		if code, out, errs := parkctl("", "bundle", back, key, "--downgrade-from", version); code != 0 || !strings.Contains(out, "\n"+version+" is no version like v1.2.3 or 3f019e4: look ") {
			t.Errorf("--downgrade-from %s: %d %s%s", version, code, out, errs)
		}
	}
	f, err := os.Open(filepath.Join(back, "qemu-virt-v0.8.0-from-v1.0.0.bundle"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if b, err := bundles.Inspect(f); err != nil || time.Until(b.Manifest.Until).Round(time.Hour) != bundles.DowngradeFor {
		t.Errorf("%+v %v", b, err)
	}
	for _, x := range [][]string{{"update"}, {"update", file, "--at", "ftp://x"}, {"status", "--now"}} {
		if code, _, _ := parkctl("", x...); code != exitUsage {
			t.Errorf("%v: %d", x, code)
		}
	}
	if code, _, errs := parkctl("", "bundle", t.TempDir(), key); code != exitError || !strings.Contains(errs, "out/image/BOARD") {
		t.Errorf("bundle of nothing: %d %s", code, errs)
	}
	if code, _, errs := parkctl("/nowhere.sock", "update", file); code != exitError || !strings.Contains(errs, "is phoned running? Give its socket with --socket") {
		t.Errorf("nobody there: %d %s", code, errs)
	}
	pc := httptest.NewServer(initapi.Forward("/nowhere.sock", "/api/update", "/update"))
	defer pc.Close()
	for _, args := range []string{"update status", "update " + file} {
		if code, _, errs := parkctl("", append(strings.Fields(args), "--at", pc.URL)...); code != exitError || !strings.Contains(errs, "says: "+initapi.NoUpdateWords) {
			t.Errorf("%s on a machine without an image: %d %s", args, code, errs)
		}
	}
	authority := filepath.Join(t.TempDir(), "hall")
	if code, _, errs := parkctl("", "site", "new", authority); code != 0 {
		t.Fatal(errs)
	}
	for path, want := range map[string]string{"none.key": "want update.key of the site's folder", filepath.Join(authority, "ca.key"): "want update.key of the site's folder, not ca.key"} {
		if code, _, errs := parkctl("", "bundle", newer, path); code != exitError || !strings.Contains(errs, want) {
			t.Errorf("bundle with %s: %d %s", path, code, errs)
		}
	}
}
