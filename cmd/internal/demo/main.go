// Command demo is `make run`: three appliances as three processes of the real firmware on this machine, and an outside
// caller who plays recorded speech. With -script it tells a story without a browser and checks every step of it: what
// is heard is compared with what was said.
//
// Exit status: 0 when all went as told, 1 when not (the transcript says what), 2 for a wrong command line.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"parklamp/cmd/internal/holder"
	"parklamp/cmd/internal/site"
	"parklamp/cmd/internal/speech"
	"parklamp/media/wav"
)

// members is the site of the demonstration.
func members(speechFile string) []site.Member {
	audio := fmt.Sprintf("[audio]\nspeech = %q\n", speechFile)
	return []site.Member{
		{Name: "dock-1", Number: "201", Addr: addr("127.0.0.1"), Panel: netip.MustParseAddrPort("127.0.0.1:8701"), Extra: audio},
		{Name: "dock-2", Number: "202", Addr: addr("127.0.0.2"), Panel: netip.MustParseAddrPort("127.0.0.1:8702"), Extra: audio},
		{Name: "office", Number: "203", Addr: addr("127.0.0.3"), Panel: netip.MustParseAddrPort("127.0.0.1:8703"), Extra: audio},
	}
}

var (
	callerAddr = addr("127.0.0.9")
	callerPage = netip.MustParseAddrPort("127.0.0.1:8700")
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// free says who has an address that the demonstration needs. Nobody can change them.
func free() error {
	panels, phones := []netip.AddrPort{callerPage}, []netip.AddrPort{netip.AddrPortFrom(callerAddr, 5060)}
	for _, m := range members("") {
		panels, phones = append(panels, m.Panel), append(phones, netip.AddrPortFrom(m.Addr, 5060))
	}
	for _, at := range append(panels, phones...) {
		l, err := net.Listen("tcp", at.String())
		if err != nil {
			return taken("tcp", at, err)
		}
		_ = l.Close()
	}
	for _, at := range phones {
		pc, err := net.ListenPacket("udp", at.String())
		if err != nil {
			return taken("udp", at, err)
		}
		_ = pc.Close()
	}
	return nil
}

// taken is what to do about an address that cannot be had.
func taken(network string, at netip.AddrPort, err error) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	who := holder.Of(network, at)
	if who == "" {
		who = "another program"
	}
	return fmt.Errorf("%s %s, which the demonstration needs, is in use by %s: end that first; if it is another make run, with Ctrl-C there", network, at, who)
}

// scripts are the stories.
var scripts = map[string]func(context.Context, *stage) error{"park-fetch": parkFetch}

func main() {
	bin := flag.String("bin", "out/bin", "`folder` with the programs that make build makes")
	script := flag.String("script", "", "`story` to tell instead of waiting for a browser: park-fetch")
	flag.Parse()
	if flag.NArg() > 0 || *script != "" && scripts[*script] == nil {
		fmt.Fprintf(os.Stderr, "demo: there is no such story: %q. There is: park-fetch (make run SCRIPT=park-fetch)\n",
			strings.Join(append(flag.Args(), *script), " "))
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *bin, *script); err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin, script string) (err error) {
	dir, err := os.MkdirTemp("", "parklamp-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := free(); err != nil {
		return err
	}
	worker := filepath.Join(dir, "worker.wav")
	if err := wav.WriteFile(worker, speech.Worker(), 8000); err != nil {
		return err
	}
	phones := members(worker)
	if script != "" {
		for i := range phones {
			phones[i].LogLevel = "debug" // the transcript takes the SIP messages from the logs
		}
	}
	s, err := site.Start(ctx, site.Options{Bin: bin, Dir: dir, Members: phones})
	if err != nil {
		return err
	}
	defer s.Stop()
	t := newTranscript(os.Stdout)
	quiet := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	c, err := newCaller(callerAddr, quiet, t.say)
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancel(ctx)
	done := make(chan error, 2) // the caller and its page
	go func() { done <- c.run(inner) }()
	defer func() {
		cancel()
		err = errors.Join(err, <-done)
	}()
	select {
	case <-c.endpoint.Ready():
	case err := <-done:
		done <- nil
		return fmt.Errorf("outside caller: %w", err)
	}
	if script != "" {
		return scripts[script](ctx, &stage{transcript: t, site: s, caller: c})
	}
	return serve(inner, s, c)
}

// serve shows where to look and waits for Ctrl-C.
func serve(ctx context.Context, s *site.Site, c *caller) error {
	fmt.Printf("Outside caller: http://%s/  (rings the phones, and links to them)\n", callerPage)
	for _, a := range s.Appliances {
		fmt.Printf("%-15s http://%s/  (SIP %s:5060; parkctl --socket %s)\n", a.Name+":", a.Panel, a.Addr, a.Socket)
	}
	fmt.Println("Ctrl-C stops everything.")
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	go func() { ended <- servePage(ctx, callerPage, c, s.Appliances) }()
	defer cancel()
	dead := make(chan error, len(s.Appliances)) // one for each
	for _, a := range s.Appliances {
		go func() {
			<-a.Done()
			dead <- fmt.Errorf("%s has ended:\n%s", a.Name, a.Tail())
		}()
	}
	select {
	case err := <-ended:
		return err
	case err := <-dead:
		if ctx.Err() != nil {
			return nil
		}
		return err
	case <-ctx.Done():
		return <-ended
	}
}
