package main

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"parklamp/cmd/internal/health"
	"parklamp/cmd/internal/initapi"
	"parklamp/cmd/internal/logs"
	"parklamp/cmd/internal/provision"
	"parklamp/cmd/internal/supervise"
)

//go:embed phoned.toml
var defaultConfig []byte

// config is the file that phoned starts with: the appliance's own; without one, and when it was refused, the built-in one;
// when that was refused as well, the same for a board that nobody knows: without keys, but it rings and answers.
func (p *phone) config() string {
	p.mu.Lock()
	refused := p.refused
	p.mu.Unlock()
	own := filepath.Join(dataFolder, provision.PhonedFile)
	if _, err := os.Stat(own); err == nil {
		if refused == 0 {
			return own
		}
		refused--
	}
	text := defaultConfig
	if refused > 0 {
		text = anyBoard(text)
	}
	if err := os.WriteFile(builtIn, text, 0o644); err != nil {
		p.log.Error("configuration", "err", err)
	}
	return builtIn
}

// anyBoard is the default for a board without a model.
func anyBoard(text []byte) []byte {
	return bytes.Replace(text, []byte(`model = "auto"`), []byte(`model = "desk"`), 1)
}

// refuses says whether phoned has refused its configuration; at is how often it had been started when that was changed.
func refuses(r supervise.Report, at int) bool {
	return r.Starts-at > 1 && r.LastExit == fmt.Sprintf("exit status %d", initapi.BadConfig) && !r.Answering
}

// watchConfig starts phoned with a configuration that works when it refuses its own, until ctx ends: a phone with a
// mistake in its file still says so.
func (p *phone) watchConfig(ctx context.Context) {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
		r := p.service.Report()
		p.mu.Lock()
		again := refuses(r, p.refusedAt) && p.refused < 2
		if again {
			p.refused++
			p.refusedAt = r.Starts
		}
		p.mu.Unlock()
		if !again {
			continue
		}
		p.raise(health.Condition{Code: initapi.CodeConfiguration, Severity: health.Error, Text: "the phone runs without its configuration: " + complaint(p.logbook.Last(logLines)),
			Hint: "parkctl config check FILE says everything that is wrong; bring the set anew, by card"})
		p.service.SetSpec(p.spec())
		p.service.Restart()
	}
}

// complaint is the first fault of the last configuration that phoned has refused.
func complaint(lines []logs.Line) string {
	text, next := "it cannot be used", false
	for _, l := range lines {
		if l.Program != "phoned" {
			continue
		}
		if next {
			text = l.Text
		}
		next = strings.HasSuffix(l.Text, initapi.BadConfigWords)
	}
	return text
}

// lacks says why phoned has refused its configuration, "" if it has not.
func (p *phone) lacks() string {
	p.mu.Lock()
	refused := p.refused > 0
	p.mu.Unlock()
	if !refused {
		return ""
	}
	if c, told := p.health.Get(initapi.CodeConfiguration); told {
		return c.Text
	}
	return "the phone refuses its configuration" // which fault it has is told in a moment
}

// forgive lets it begin with its own configuration again, which is another one now.
func (p *phone) forgive() {
	p.mu.Lock()
	p.refused, p.refusedAt = 0, p.service.Report().Starts
	p.mu.Unlock()
	p.clear(initapi.CodeConfiguration)
	p.service.SetSpec(p.spec())
}
