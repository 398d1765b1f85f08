package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"time"

	"parklamp/cmd/internal/initapi"
)

// phoneBackWithin is how long phoned may take to answer after a restart.
const phoneBackWithin = time.Minute

// restart starts phoned, or the whole appliance, anew: when nobody is there whom that would disturb, or --now. Who is parked
// waits on over a restart of phoned.
func (t *tool) restart(ctx context.Context, args []string) error {
	req := initapi.Restart{Service: initapi.Phoned, When: initapi.Idle}
	if len(args) == 1 && args[0] == initapi.Appliance {
		req.Service = initapi.Appliance
	} else if len(args) == 1 && args[0] != "phone" {
		return usagef("restart %s: want phone or appliance", args[0])
	}
	if t.up.now {
		req.When = initapi.Now
	}
	if _, err := os.Stat(t.initSocket); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("this machine was not started from an image (there is no %s): send phoned SIGUSR1 and start it again, then it goes on with its parked callers", t.initSocket)
	}
	before, err := t.askInit(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return err
	}
	if _, err := t.askInit(ctx, http.MethodPost, "/restart", req); err != nil {
		return err
	}
	if req.Service == initapi.Appliance {
		fmt.Fprintln(t.out, map[string]string{initapi.Now: "The appliance restarts.", initapi.Idle: "The appliance restarts as soon as nobody talks, rings, or is parked whom no other appliance takes over."}[req.When])
		return nil
	}
	return t.followPhone(ctx, phoneOf(before))
}

// followPhone tells what the restart of phoned waits for, and when another process answers.
func (t *tool) followPhone(ctx context.Context, before initapi.Service) error {
	waiting, ended := "", time.Time{}
	for {
		st, err := t.askInit(ctx, http.MethodGet, "/status", nil)
		now := phoneOf(st)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case now.Restarts > before.Restarts && now.Answering:
			fmt.Fprintf(t.out, "phoned runs anew; nothing ran for %v.\n", now.LastGap.Round(time.Millisecond))
			return nil
		case now.Restarts > before.Restarts && ended.IsZero():
			ended = time.Now()
		case !ended.IsZero() && time.Since(ended) > phoneBackWithin:
			return fmt.Errorf("phoned was started again and does not answer: %s", now.LastExit)
		case ended.IsZero():
			if why := st.Waiting[initapi.Phoned]; why != "" && why != waiting {
				waiting = why
				fmt.Fprintf(t.out, "Waiting: %s. (--now does not wait and ends them; interrupt this command and the appliance goes on waiting.)\n", why)
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(t.retry):
		}
	}
}

func phoneOf(st initapi.Status) initapi.Service {
	for _, s := range st.Services {
		if s.Name == initapi.Phoned {
			return s
		}
	}
	return initapi.Service{}
}

// askInit asks the first process.
func (t *tool) askInit(ctx context.Context, method, path string, body any) (initapi.Status, error) {
	var answer struct {
		initapi.Status
		Refusal string `json:"error"`
	}
	text, err := json.Marshal(body)
	if err != nil {
		return answer.Status, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://init"+path, bytes.NewReader(text))
	if err != nil {
		return answer.Status, err
	}
	c := http.Client{Transport: &http.Transport{DialContext: initapi.Dial(t.initSocket), DisableKeepAlives: true}, Timeout: 5 * time.Second}
	res, err := c.Do(req)
	if err != nil {
		return answer.Status, fmt.Errorf("the first process does not answer: %w", err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(io.LimitReader(res.Body, 4<<20)).Decode(&answer); err != nil {
		return answer.Status, fmt.Errorf("the first process answers %s: %w", res.Status, err)
	}
	if res.StatusCode >= 300 {
		return answer.Status, errors.New(answer.Refusal)
	}
	return answer.Status, nil
}
