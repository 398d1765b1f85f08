package update

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Manifest says what a bundle is. Its bytes are what is signed.
type Manifest struct {
	Board   string    `json:"board"`   // BOARD= of the image
	Version string    `json:"version"` // of the system in it
	Time    time.Time `json:"time"`    // of the system's sources; orders versions that are not numbers
	// MinVersion is the oldest system that may install it; empty: any.
	MinVersion string `json:"min_version,omitempty"`
	// DowngradeFrom is the one version that may go back to this one; empty: none. It is in what is signed, because who may
	// upload a bundle need not be who may decide that.
	DowngradeFrom string `json:"downgrade_from,omitempty"`
	Size          int64  `json:"size"`   // bytes of the slot's image
	SHA256        string `json:"sha256"` // of the slot's image, hexadecimal
	Packed        int64  `json:"packed"` // bytes of the image in the bundle, gzip (RFC 1952)
}

// mostImage is far more than a slot has: bytes.
const mostImage = 1 << 30

// word is what a board's name or a version may look like.
var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,63}$`)

// parseManifest reads and checks the signed text. Unknown keys are refused: a newer format says so in its first line.
func parseManifest(text []byte) (Manifest, error) {
	var m Manifest
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("manifest: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return m, fmt.Errorf("manifest: something follows it")
	}
	return m, m.check()
}

func (m Manifest) check() error {
	for _, f := range []struct {
		key, value string
		must       bool
	}{{"board", m.Board, true}, {"version", m.Version, true}, {"min_version", m.MinVersion, false}, {"downgrade_from", m.DowngradeFrom, false}} {
		if (f.value != "" || f.must) && !word.MatchString(f.value) {
			return fmt.Errorf("manifest: %s %q: must be 1 to 64 letters, digits and ._+~-", f.key, f.value)
		}
	}
	if sum, err := hex.DecodeString(m.SHA256); err != nil || len(sum) != 32 {
		return fmt.Errorf("manifest: sha256 %q: must be 64 hexadecimal digits", m.SHA256)
	}
	if m.Size < headSize || m.Size > mostImage || m.Size%headSize != 0 {
		return fmt.Errorf("manifest: size %d: must be a multiple of %d up to %d", m.Size, headSize, mostImage)
	}
	if m.Packed < 1 || m.Packed > mostImage {
		return fmt.Errorf("manifest: packed %d: must be 1 to %d", m.Packed, mostImage)
	}
	if m.Time.IsZero() || m.Time.Year() > 9999 {
		return fmt.Errorf("manifest: time: must be there, as RFC 3339 has it")
	}
	return nil
}

// System is what an appliance runs.
type System struct {
	Board, Version string
	Time           time.Time // zero: not known
}

// Fits says why the appliance must not install the bundle: ErrBoard, ErrDowngrade, ErrSame, ErrTooOld.
func (m Manifest) Fits(now System) error {
	if m.Board != now.Board {
		return fmt.Errorf("%w: it is for %s and this is a %s; take the bundle that was made with BOARD=%s", ErrBoard, m.Board, now.Board, now.Board)
	}
	if m.Version == now.Version && m.Time.Equal(now.Time) {
		return fmt.Errorf("%w: %s", ErrSame, m.Version)
	}
	if m.MinVersion != "" && compare(now.Version, m.MinVersion) < 0 {
		return fmt.Errorf("%w: it needs %s or later, this runs %s; install a version between them first", ErrTooOld, m.MinVersion, now.Version)
	}
	if m.DowngradeFrom != "" && m.DowngradeFrom == now.Version {
		return nil
	}
	older := compare(m.Version, now.Version)
	if older == 0 && m.Time.Before(now.Time) {
		older = -1
	}
	if older < 0 {
		return fmt.Errorf("%w: this runs %s of %s and the bundle has %s of %s; if that is meant, make a bundle with --downgrade-from %s", ErrDowngrade,
			now.Version, day(now.Time), m.Version, day(m.Time), now.Version)
	}
	return nil
}

func day(t time.Time) string {
	if t.IsZero() {
		return "an unknown day"
	}
	return t.UTC().Format(time.DateOnly)
}

// compare orders versions like v1.2 or 1.2.3-4-gabc (git describe: 4 commits after 1.2.3) by their numbers. 0: the same, or
// one of them has no numbers (a bare commit), so that their times have to tell.
func compare(a, b string) int {
	x, y := numbers(a), numbers(b)
	if x == nil || y == nil {
		return 0
	}
	for i := range max(len(x), len(y)) {
		var p, q int
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if p != q {
			if p < q {
				return -1
			}
			return 1
		}
	}
	return 0
}

// release is v1.2.3, with the distance that git describe adds.
var release = regexp.MustCompile(`^v?(\d{1,6}(?:\.\d{1,6}){1,3})(?:-(\d{1,6})-g[0-9a-f]+)?(?:-dirty)?$`)

// numbers returns four numbers of a release and a fifth, the commits since; nil if version is not one.
func numbers(version string) []int {
	found := release.FindStringSubmatch(version)
	if found == nil {
		return nil
	}
	out := make([]int, 5)
	for i, n := range strings.Split(found[1], ".") {
		out[i], _ = strconv.Atoi(n) // at most six digits
	}
	if found[2] != "" {
		out[4], _ = strconv.Atoi(found[2])
	}
	return out
}
