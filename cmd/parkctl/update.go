package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"parklamp/cmd/internal/client"
	"parklamp/cmd/internal/initapi"
	bundles "parklamp/cmd/internal/update"
)

// updateFlags are the flags of update and bundle.
type updateFlags struct {
	now           bool
	anyway        bool
	minVersion    string
	downgradeFrom string
}

const (
	// startWithin is the longest that a restart may take until the panel answers again.
	startWithin = 150 * time.Second
	// silentFor is the longest that nothing may be heard of an update: the new system starts, is on trial, which takes longest when
	// it does not say which calls it has, and the system before it starts again. A trial that is heard of lasts as long as it likes.
	silentFor = 2*startWithin + max(bundles.ConfirmWithin, bundles.UncountedFor)
	// askWithin is for an answer that needs nothing written.
	askWithin = 5 * time.Second
	// judgeWithin is for an answer about a bundle: the appliance may compare all of what it runs.
	judgeWithin = 30 * time.Second
)

// errUpdate: the appliance could not be updated; what is wrong has been told.
var errUpdate = errors.New("the appliance was not updated")

// place is where an appliance takes updates.
type place struct {
	http *http.Client
	url  string
	name string // for people
	own  bool   // this machine
}

// place finds the appliance: --at, else the first process of this machine, which works even when phoned does not, else
// the program behind --socket.
func (t *tool) place() place {
	if t.at != "" {
		_, name, _ := strings.Cut(t.at, "://")
		return place{&http.Client{Transport: client.PanelTransport()}, t.at + "/api/update", name, false}
	}
	socket, path := t.socket, "/api/update"
	if _, err := os.Stat(t.initSocket); err == nil {
		socket, path = t.initSocket, "/update"
	}
	return place{&http.Client{Transport: &http.Transport{DialContext: initapi.Dial(socket), DisableKeepAlives: true, ExpectContinueTimeout: time.Second}}, "http://parklamp" + path, socket, true}
}

// status asks how far the appliance's update is.
func (p place) status(ctx context.Context) (bundles.Status, error) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return bundles.Status{}, err
	}
	s, _, err := p.do(req)
	return s, err
}

// do sends a request and reads the status or the error.
func (p place) do(req *http.Request) (bundles.Status, int, error) {
	var answer struct {
		bundles.Status
		Refusal string `json:"error"`
	}
	res, err := p.http.Do(req)
	if err != nil {
		return answer.Status, 0, client.Explain(p.name, !p.own, err)
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNoContent {
		return answer.Status, res.StatusCode, p.says(errors.New(initapi.NoUpdateWords))
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&answer); err != nil {
		return answer.Status, res.StatusCode, fmt.Errorf("%s answers %s without a status: is it a Parklamp's panel?", p.name, clean(res.Status))
	}
	// Whatever is at that address, a terminal shows it and does not obey it.
	answer.Refusal = clean(answer.Refusal)
	for _, text := range []*string{(*string)(&answer.Stage), &answer.Board, &answer.Version, &answer.Slot, &answer.Target, &answer.Waiting, &answer.Warning} {
		*text = clean(*text)
	}
	if res.StatusCode >= 300 {
		return answer.Status, res.StatusCode, p.says(errors.New(answer.Refusal))
	}
	answer.Error = answer.Refusal
	return answer.Status, res.StatusCode, nil
}

// says is what an appliance has against a bundle.
func (p place) says(err error) error {
	if p.own {
		return err
	}
	return fmt.Errorf("%s says: %w", p.name, err)
}

// bare is an error of a request without the request, which whoever reads it has typed.
func bare(err error) error {
	if request := (*url.Error)(nil); errors.As(err, &request) {
		return request.Err
	}
	return err
}

// open opens the bundle, a file or an address; size is -1 if it is not known.
func (t *tool) open(ctx context.Context, source string) (body io.ReadCloser, size int64, err error) {
	if strings.HasPrefix(source, "http://") || strings.HasPrefix(source, "https://") {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, source, nil)
		if err != nil {
			return nil, 0, usagef("%v", err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, 0, fmt.Errorf("fetch %s: %w", req.URL.Redacted(), bare(err))
		}
		if res.StatusCode != http.StatusOK {
			res.Body.Close()
			return nil, 0, fmt.Errorf("fetch %s: %s", req.URL.Redacted(), clean(res.Status))
		}
		return res.Body, res.ContentLength, nil
	}
	if scheme, _, is := strings.Cut(source, "://"); is {
		return nil, 0, usagef("update %s: %s is no way to a bundle: want http://, https:// or a file", source, scheme)
	}
	f, err := os.Open(source)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; want a bundle, such as out/image/rpi/rpi-v1.2.bundle, which make bundle makes", err)
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file: want a bundle, such as out/image/rpi/rpi-v1.2.bundle, which make bundle makes", source)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// counter tells how much of an upload has been taken: in one line on a terminal, else at each tenth.
type counter struct {
	io.Reader
	t          *tool
	size, sent int64
	told       int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.sent += int64(n)
	if c.size <= 0 {
		return n, err
	}
	step := int64(10)
	if c.t.colour {
		step = 1
	}
	if percent := 100 * c.sent / c.size; percent >= c.told+step {
		c.told = percent - percent%step
		if c.t.colour {
			fmt.Fprintf(c.t.err, "\rsent %d %%", c.told)
		} else {
			fmt.Fprintf(c.t.err, "sent %d %%\n", c.told)
		}
	}
	return n, err
}

// update brings a bundle to the appliance and follows what it does with it.
func (t *tool) update(ctx context.Context, args []string) error {
	p := t.place()
	if args[0] == "status" {
		return t.updateStatus(ctx, p)
	}
	body, size, err := t.open(ctx, args[0])
	if err != nil {
		return err
	}
	defer body.Close()
	whole, s, err := p.judge(ctx, body)
	if err != nil {
		return fmt.Errorf("%s is not sent: %w", args[0], err)
	}
	if whole == nil {
		fmt.Fprintf(t.out, "The appliance runs %s already.\n", s.Version)
		return nil
	}
	if s.Warning != "" && !t.up.anyway {
		return fmt.Errorf("%s is not sent: %s; mend that first, or say --anyway if this update is what mends it", args[0], s.Warning)
	}
	target := p.url
	if t.up.now {
		target += "?now=1"
	}
	upload := &counter{Reader: whole, t: t, size: size}
	s, code, err := p.send(ctx, target, upload, size)
	if t.colour && upload.told > 0 {
		fmt.Fprintln(t.err)
	}
	if err != nil {
		return err
	}
	if code == http.StatusOK {
		fmt.Fprintf(t.out, "The appliance runs %s already.\n", s.Version)
		return nil
	}
	fmt.Fprintf(t.out, "%s is written, read back and proved. It starts as soon as no call is on the appliance.\n", s.Target)
	if s.Warning != "" {
		fmt.Fprintf(t.out, "Warning: %s.\n", s.Warning)
	}
	return t.follow(ctx, p, s)
}

// judge asks the appliance about the head of a bundle: what it would refuse is not sent, and a file that is damaged neither. It
// returns the whole bundle again, nil if the appliance runs it already.
func (p place) judge(ctx context.Context, body io.Reader) (io.Reader, bundles.Status, error) {
	var head bytes.Buffer
	if _, err := bundles.Inspect(io.TeeReader(body, &head)); err != nil {
		return nil, bundles.Status{}, err
	}
	asking, cancel := context.WithTimeout(ctx, judgeWithin)
	defer cancel()
	s, code, err := p.send(asking, p.url+bundles.CheckPath, bytes.NewReader(head.Bytes()), int64(head.Len()))
	if err != nil && code != http.StatusNotFound && code != http.StatusMethodNotAllowed { // one that cannot be asked so judges the whole
		return nil, s, err
	}
	file, again := body.(io.Seeker)
	if !again && code != http.StatusOK {
		return io.MultiReader(&head, body), s, nil
	}
	// Of one that comes from afar there is no second time.
	b, err := bundles.Inspect(io.MultiReader(&head, body))
	if err == nil {
		_, err = io.Copy(io.Discard, b)
	}
	if err == nil && again {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil || code == http.StatusOK {
		return nil, s, err
	}
	return body, s, nil
}

// send brings a bundle, or its head, to the appliance.
func (p place) send(ctx context.Context, to string, body io.Reader, size int64) (bundles.Status, int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, body)
	if err != nil {
		return bundles.Status{}, 0, err
	}
	req.ContentLength = size
	req.Header.Set("Content-Type", "application/octet-stream")
	// RFC 9110 §10.1.1: who is refused at once reads why, and sends nothing into a connection that is closed.
	req.Header.Set("Expect", "100-continue")
	return p.do(req)
}

// follow tells what the appliance waits for and, from another machine, what became of the new system.
func (t *tool) follow(ctx context.Context, p place, s bundles.Status) error {
	before, target, waiting := s.Version, s.Target, ""
	restarting, limit := false, time.Time{}
	for {
		now, err := p.status(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil || now.Stage == bundles.Restarting:
			if !restarting {
				fmt.Fprintf(t.out, "The appliance restarts into %s.\n", target)
				restarting, limit = true, time.Now().Add(silentFor)
			}
			if p.own {
				return nil
			}
		case now.Stage == bundles.Waiting && !restarting:
			if now.Waiting != waiting {
				waiting = now.Waiting
				fmt.Fprintf(t.out, "Waiting: %s. (--now restarts without waiting; interrupt this command and the appliance goes on waiting.)\n", waiting)
			}
		case now.Stage == bundles.Trial && now.Version == target:
			limit = time.Now().Add(silentFor)
			if waiting != "trial" {
				waiting = "trial"
				fmt.Fprintf(t.out, "%s has started and is on trial.\n", target)
			}
		case now.Version == target && (target != before || restarting && now.Slot != s.Slot): // of two builds of one version the slot tells
			fmt.Fprintf(t.out, "%s runs and is confirmed.\n", target)
			return nil
		case now.Stage == bundles.Failed, restarting && now.Stage == bundles.Idle:
			return fmt.Errorf("%w: %s; %s runs", errUpdate, now.Error, now.Version)
		}
		if restarting && time.Now().After(limit) {
			return fmt.Errorf("%w, or is not reached any more: %s has not come back within %v; look at it", errUpdate, p.name, silentFor)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(t.retry):
		}
	}
}

func (t *tool) updateStatus(ctx context.Context, p place) error {
	s, err := p.status(ctx)
	if err != nil {
		return err
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(s)
	}
	fmt.Fprintf(t.out, "%s runs %s from slot %s: %s", s.Board, s.Version, s.Slot, s.Stage)
	for _, more := range []string{s.Target, s.Waiting, s.Warning, s.Error} {
		if more != "" {
			fmt.Fprintf(t.out, ", %s", more)
		}
	}
	fmt.Fprintln(t.out)
	return nil
}

// bundle makes a bundle of what `make image` left in a folder.
func (t *tool) bundle(_ context.Context, args []string) error {
	dir := args[0]
	if v := t.up.minVersion; v != "" && !bundles.IsRelease(v) {
		return usagef("--min-version %s: want a release, such as v1.2.3; no version could be compared with this one", v)
	}
	m, err := bundles.ReadImage(dir)
	if folder := filepath.Clean(dir); errors.Is(err, fs.ErrNotExist) && filepath.Base(filepath.Dir(folder)) == "image" {
		return fmt.Errorf("no image is in %s; 'make image BOARD=%s' makes it", folder, filepath.Base(folder))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; the first argument is the folder that make image fills, out/image/BOARD", err)
	}
	if err != nil {
		return err
	}
	m.MinVersion, m.DowngradeFrom = t.up.minVersion, t.up.downgradeFrom
	if m.DowngradeFrom != "" {
		if !bundles.IsVersion(m.DowngradeFrom) {
			return usagef("--downgrade-from %s: want the version that the appliance runs, such as v1.2.3, 3f019e4 or release-5, as parkctl update status says it", m.DowngradeFrom)
		}
		m.Until = time.Now().Add(bundles.DowngradeFor).UTC().Truncate(time.Second)
	}
	key, err := bundles.ReadPrivateKey(args[1])
	if err != nil {
		return err
	}
	out := filepath.Join(dir, m.Board+"-"+m.Version)
	if m.DowngradeFrom != "" {
		out += "-from-" + m.DowngradeFrom // the one for everybody stays
	}
	out += ".bundle"
	if len(args) == 3 {
		out = args[2]
	}
	if err := free(out, key); err != nil {
		return err
	}
	m, err = bundles.MakeBundleFile(out, m, filepath.Join(dir, "slot.img"), key)
	if err != nil {
		return err
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(m)
	}
	fmt.Fprintf(t.out, "%s: %s for %s, %.1f MB\n", out, m.Version, m.Board, float64(m.Packed)/1e6)
	if m.DowngradeFrom != "" {
		fmt.Fprintf(t.out, "It goes back from %s until %s.\n", m.DowngradeFrom, m.Until.Format(time.RFC1123))
		if bundles.IsTag(m.DowngradeFrom) {
			fmt.Fprintf(t.out, "%s is no version like v1.2.3 or 3f019e4: look whether parkctl update status says exactly this; from any other the bundle goes back nowhere.\n", m.DowngradeFrom)
		}
	}
	return nil
}

// free says why a bundle is not written over what is there: another site's has the same name.
func free(path string, key ed25519.PrivateKey) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := bundles.OpenBundle(f, []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}); err != nil {
		return fmt.Errorf("%s is there and was not made with this key: move it away, or name another file after the key (%w)", path, err)
	}
	return nil
}
