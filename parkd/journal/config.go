package journal

import (
	"fmt"
	"path/filepath"
	"time"
)

// Config says where the journal is.
type Config struct {
	Path   string        `toml:"path" doc:"File in which parked calls outlive a crash or a power cut, on a disk that keeps it (not tmpfs). Empty turns it off: then a crash loses them."`
	MaxAge time.Duration `toml:"max_age" doc:"Calls are resumed if the appliance was away for no longer than this; else their far ends are told good-bye."`
}

// Default keeps the journal where Debian keeps what programs remember.
func Default() Config {
	return Config{Path: "/var/lib/parklamp/journal", MaxAge: 30 * time.Minute}
}

// Validate returns the first thing wrong, naming key, value and allowed range.
func (c Config) Validate() error {
	if c.Path != "" && (!filepath.IsAbs(c.Path) || len(c.Path) > 4000) {
		return fmt.Errorf("path = %q: an absolute path of at most 4000 bytes, or empty", c.Path)
	}
	if c.MaxAge < time.Second || c.MaxAge > 24*time.Hour {
		return fmt.Errorf("max_age = %v: 1s to 24h", c.MaxAge)
	}
	return nil
}
