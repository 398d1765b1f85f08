package selftest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parklamp/cmd/internal/storage"
)

// Config says where reports go and who signs them.
type Config struct {
	Reports     string `toml:"reports" doc:"Folder of the self test's reports, made when it is needed."`
	Keep        int    `toml:"keep" doc:"How many reports are kept, the oldest go first; 1 to 1000."`
	Key         string `toml:"key" doc:"Private key (PEM, Ed25519 or ECDSA P-256) that signs the reports. Empty: that of sip.tls_key; without one they are not signed."`
	Certificate string `toml:"certificate" doc:"Its certificate from the site's CA. Empty: that of sip.tls_cert."`
	NTP         string `toml:"ntp" doc:"Time server (host or host:port) that the clock is compared with. Empty: the clock is compared with those of the other appliances."`
}

// Default keeps twenty reports where Debian keeps what programs remember.
func Default() Config { return Config{Reports: "/var/lib/parklamp/reports", Keep: 20} }

// Validate returns the first thing wrong, naming key, value and what is allowed.
func (c Config) Validate() error {
	for _, p := range []struct{ key, value string }{{"reports", c.Reports}, {"key", c.Key}, {"certificate", c.Certificate}} {
		if p.value != "" && (!filepath.IsAbs(p.value) || len(p.value) > 4000) {
			return fmt.Errorf("%s = %q: an absolute path of at most 4000 bytes", p.key, p.value)
		}
	}
	switch {
	case c.Reports == "":
		return fmt.Errorf("reports = %q: an absolute path of at most 4000 bytes", c.Reports)
	case c.Keep < 1 || c.Keep > 1000:
		return fmt.Errorf("keep = %d: 1 to 1000", c.Keep)
	case (c.Key == "") != (c.Certificate == ""):
		return fmt.Errorf("certificate = %q: key and certificate belong together: both or neither", c.Certificate)
	case strings.ContainsAny(c.NTP, " \t/") || len(c.NTP) > 255:
		return fmt.Errorf("ntp = %q: a host, or host:port", c.NTP)
	}
	return nil
}

// The names of a report's files: the report, its signature beside it.
const (
	reportPrefix    = "selftest-"
	reportSuffix    = ".json"
	signatureSuffix = ".jws"
	stamp           = "20060102T150405.000Z"
)

// SignaturePath is where the signature of a report file is.
func SignaturePath(report string) string { return report + signatureSuffix }

// fileName is the name of a report that began then; such names sort by time.
func fileName(began time.Time) string {
	return reportPrefix + strings.Replace(began.UTC().Format(stamp), ".", "", 1) + reportSuffix
}

// Store writes a report and its signature ("" for none) into the folder, and takes the oldest others away: keep stay. It
// returns the report's path. A power cut leaves either the whole file or none; a signature comes after its report.
func Store(folder string, began time.Time, report []byte, signature string, keep int) (string, error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(folder, fileName(began))
	err := storage.Replace(path, report, 0o644)
	if err == nil && signature != "" {
		err = storage.Replace(SignaturePath(path), []byte(signature+"\n"), 0o644)
	}
	if err != nil {
		return "", err
	}
	return path, prune(folder, filepath.Base(path), keep)
}

// Reports lists the names of the reports in a folder, the newest first. A folder that is not there has none.
func Reports(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if n := e.Name(); strings.HasPrefix(n, reportPrefix) && strings.HasSuffix(n, reportSuffix) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	slices.Reverse(names)
	return names, err
}

// prune removes what is too much, and what a power cut left half written. The report that was written just now stays also where
// a clock that is behind makes it look the oldest.
func prune(folder, written string, keep int) error {
	names, err := Reports(folder)
	if err != nil {
		return err
	}
	var errs []error
	names = slices.DeleteFunc(names, func(n string) bool { return n == written })
	for _, n := range names[min(keep-1, len(names)):] {
		path := filepath.Join(folder, n)
		if err := os.Remove(SignaturePath(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		errs = append(errs, os.Remove(path))
	}
	halves, _ := filepath.Glob(filepath.Join(folder, storage.Unfinished+reportPrefix+"*")) // the pattern is right
	for _, h := range halves {
		errs = append(errs, os.Remove(h))
	}
	return errors.Join(errs...)
}
