package initapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"parklamp/cmd/internal/health"
)

// Told is what the first process tells phoned: the stream GET /told has a line of it at once and one after each change.
type Told struct {
	Conditions []health.Condition `json:"conditions"`
	Voice      *Voice             `json:"voice,omitempty"`
}

const (
	maxConditions = 32
	maxTold       = 64 << 10 // bytes of a line
)

// Listen hands on what the first process tells, on the caller's goroutine, until ctx or the connection ends, which is an
// error.
func Listen(ctx context.Context, socket string, tell func(Told)) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://init/told", nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DialContext: Dial(socket), DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("listen to the first process: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("listen to the first process: it answers %s", res.Status)
	}
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxTold)
	for lines.Scan() {
		var t Told
		if err := json.Unmarshal(lines.Bytes(), &t); err != nil {
			return fmt.Errorf("listen to the first process: %w", err)
		}
		t.Conditions = t.Conditions[:min(len(t.Conditions), maxConditions)]
		tell(t)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("listen to the first process: %w", err)
	}
	return fmt.Errorf("listen to the first process: it has hung up")
}
