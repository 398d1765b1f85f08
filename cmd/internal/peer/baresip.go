package peer

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Baresip is a running baresip: a desk phone of somebody else's make.
type Baresip struct {
	*process
	control net.Conn
	addr    netip.AddrPort // immutable
	dir     string         // immutable

	mu     sync.Mutex
	events []BaresipEvent // guarded by mu; the last maxEvents
	news   chan struct{}  // capacity 1: an event came; a full channel means that it is told already
}

const maxEvents = 1000

// BaresipEvent is one event of baresip's ctrl_tcp module.
type BaresipEvent struct {
	Type  string `json:"type"` // CALL_INCOMING, CALL_ESTABLISHED, CALL_CLOSED, …
	Param string `json:"param"`
	Peer  string `json:"peeruri"`
}

// BaresipOptions configure one baresip.
type BaresipOptions struct {
	Dir       string
	User      string
	Password  string // of the registrar; "" for none
	Registrar string // host:port of registrar and proxy; "" for none
	Speech    string // WAV, mono, that it says in every call: 8 kHz, or 16 kHz if it is Wide
	Codecs    string // that it offers and takes, in order, as baresip names them (G722/16000/1); "PCMU,PCMA" when empty
	Wide      bool   // it says and records at 16 kHz
	RTCPMux   bool   // wants RTCP on the port of RTP
	// Certificate is a PEM file with a certificate for 127.0.0.1 and its key: it speaks TLS then, on the port above Addr.
	Certificate string
	UDP         bool   // it calls by UDP all the same
	Encryption  string // "" for none, "srtp" for keys with RTP/AVP, "srtp-mand" for RTP/SAVP
}

const baresipConfig = `poll_method epoll
sip_listen %[1]s
call_local_timeout 120
call_max_calls 4
audio_source aufile,%[2]s
ausrc_srate %[6]d
auplay_srate %[6]d
ausrc_channels 1
auplay_channels 1
rtp_ports 30000-30100
net_interface 127.0.0.1
module_path /usr/lib/baresip/modules
module g711.so
module g722.so
module aufile.so
module sndfile.so
snd_path %[3]s
module_tmp account.so
module_app ctrl_tcp.so
module_app menu.so
module_app rtcpsummary.so
rtcp_mux %[5]s
ctrl_tcp_listen %[4]s
`

// StartBaresip starts baresip on free ports of 127.0.0.1 and connects to its control port. It can have no other
// address: it does not bind its RTP sockets, and what leaves such a socket for a loopback address comes from 127.0.0.1,
// so that with another one its media would come from where nobody expects it.
func StartBaresip(ctx context.Context, o BaresipOptions) (*Baresip, error) {
	at, err := freePort()
	if err != nil {
		return nil, err
	}
	control, err := freePort()
	if err != nil {
		return nil, err
	}
	mux := "no"
	if o.RTCPMux {
		mux = "yes"
	}
	codecs, rate := o.Codecs, 8000
	if codecs == "" {
		codecs = "PCMU,PCMA"
	}
	if o.Wide {
		rate = 16000
	}
	config := fmt.Sprintf(baresipConfig, at, o.Speech, o.Dir, control, mux, rate)
	params, media := "", ""
	if o.Certificate != "" {
		config += fmt.Sprintf("sip_certificate %s\nmodule srtp.so\n", o.Certificate)
		if !o.UDP {
			params = ";transport=tls"
		}
	}
	if o.Encryption != "" {
		media = ";mediaenc=" + o.Encryption
	}
	// The account is added over the control port, so that no event of its registration is missed.
	account := fmt.Sprintf("<sip:%s@%s%s>;regint=0;audio_codecs=%s;answermode=manual%s", o.User, at, params, codecs, media)
	if o.Registrar != "" {
		account = fmt.Sprintf("<sip:%s@%s>;auth_user=%s;auth_pass=%s;outbound=\"sip:%s\";regint=60;audio_codecs=%s",
			o.User, o.Registrar, o.User, o.Password, o.Registrar, codecs)
	}
	for name, text := range map[string]string{"config": config, "accounts": "", "contacts": ""} {
		if err := os.WriteFile(filepath.Join(o.Dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	p, err := start("baresip-"+o.User, o.Dir, []string{"HOME=" + o.Dir}, "baresip", "-f", o.Dir)
	if err != nil {
		return nil, err
	}
	b := &Baresip{process: p, addr: at, dir: o.Dir, news: make(chan struct{}, 1)}
	if b.control, err = dialControl(ctx, control, p); err != nil {
		p.stop()
		return nil, fmt.Errorf("baresip: %w\n%s", err, p.tail())
	}
	go b.read()
	if err := b.Command("uanew", account); err != nil {
		b.Stop()
		return nil, err
	}
	return b, nil
}

// The ports that freePort gives lie below those that the kernel gives to whoever asks for any: until the child has bound its own,
// which takes a while on a busy machine, no connection that somebody makes meanwhile can get it.
const (
	firstPort = 10000
	portPairs = 5000
)

// pairsGiven counts the pairs of ports given out. The process's id keeps those apart that run at the same time.
var pairsGiven atomic.Uint32

// freePort finds a port of 127.0.0.1 that is free in UDP and TCP, and has a free one above it: baresip takes that for TLS.
func freePort() (netip.AddrPort, error) {
	var last error
	for range 20 {
		pair := (uint32(os.Getpid())*61 + pairsGiven.Add(1)) % portPairs
		at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), uint16(firstPort+2*pair))
		if last = unused(at); last == nil {
			return at, nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("no free port in 20 tries: %w", last)
}

// unused says whether a port can be bound, and that above it.
func unused(at netip.AddrPort) error {
	u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	defer u.Close()
	for _, port := range []uint16{at.Port(), at.Port() + 1} {
		l, err := net.Listen("tcp", netip.AddrPortFrom(at.Addr(), port).String())
		if err != nil {
			return err
		}
		l.Close()
	}
	return nil
}

// dialControl waits until the control port listens.
func dialControl(ctx context.Context, at netip.AddrPort, p *process) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", at.String())
		if err == nil {
			return c, nil
		}
		select {
		case <-p.done:
			return nil, errEnded
		case <-ctx.Done():
			return nil, err
		case <-time.After(20 * time.Millisecond): // another program is starting: it tells nobody when it is ready
		}
	}
}

// read takes netstrings with JSON from the control port until it closes.
func (b *Baresip) read() {
	r := bufio.NewReader(b.control)
	for {
		digits, err := r.ReadString(':')
		if err != nil {
			return
		}
		n, err := strconv.Atoi(strings.Trim(digits, ",:\n"))
		if err != nil || n < 0 || n > 1<<20 {
			return
		}
		text := make([]byte, n)
		if _, err := io.ReadFull(r, text); err != nil {
			return
		}
		var e BaresipEvent
		if json.Unmarshal(text, &e) != nil || e.Type == "" {
			continue // the answer to a command
		}
		b.mu.Lock()
		if len(b.events) < maxEvents {
			b.events = append(b.events, e)
		}
		b.mu.Unlock()
		select {
		case b.news <- struct{}{}:
		default:
		}
	}
}

// Command runs one of baresip's commands, such as "dial" with "sip:701@127.0.0.1".
func (b *Baresip) Command(name, params string) error {
	m, err := json.Marshal(map[string]string{"command": name, "params": params, "token": "t"})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(b.control, "%d:%s,", len(m), m)
	return err
}

// Await blocks until an event of the type has come since the last Await that found one, and takes it and all before it.
func (b *Baresip) Await(ctx context.Context, eventType string) (BaresipEvent, error) {
	for {
		if e, ok := b.take(eventType); ok {
			return e, nil
		}
		select {
		case <-b.news:
		case <-b.done:
			return BaresipEvent{}, fmt.Errorf("baresip: await %s: %w\n%s", eventType, errEnded, b.tail())
		case <-ctx.Done():
			return BaresipEvent{}, fmt.Errorf("baresip: await %s: %w\n%s", eventType, ctx.Err(), b.tail())
		}
	}
}

func (b *Baresip) take(eventType string) (BaresipEvent, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, e := range b.events {
		if e.Type == eventType {
			b.events = b.events[i+1:]
			return e, true
		}
	}
	return BaresipEvent{}, false
}

// Addr is where it takes SIP, over UDP and TCP.
func (b *Baresip) Addr() netip.AddrPort { return b.addr }

// Ended waits until baresip says how its last call sounded: for each key (PR packets received, PL lost as we reported and as
// it counted, JI jitter likewise, DL round trip, both in ms) the value.
func (b *Baresip) Ended(ctx context.Context) (map[string]string, error) {
	for {
		_, text, _ := strings.Cut(string(b.Output()), "EX=BareSip;")
		if line, _, ok := strings.Cut(text, "\n"); ok {
			all := map[string]string{}
			for field := range strings.SplitSeq(line, ";") {
				if k, v, ok := strings.Cut(strings.TrimSpace(field), "="); ok {
					all[k] = v
				}
			}
			return all, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("baresip: its summary: %w\n%s", ctx.Err(), b.tail())
		case <-time.After(20 * time.Millisecond): // another program writes
		}
	}
}

// Heard is what its newest call has heard so far: samples at 8 kHz, or 16 kHz of a wide one, only of packets that came. It begins anew with a call,
// and ends where the call is put on hold or changed by anybody: baresip 1.0 does not go on with it then.
func (b *Baresip) Heard() []int16 {
	// Its sndfile module names recordings by the second.
	names, err := filepath.Glob(filepath.Join(b.dir, "dump-*-dec.wav"))
	if err != nil || len(names) == 0 {
		return nil // no call yet
	}
	return growing(slices.Max(names))
}

// growing reads the samples of a WAV file that is being written: mono, 16 bits, its header not complete yet.
func growing(path string) []int16 {
	data, err := os.ReadFile(path)
	const header = 44
	if err != nil || len(data) < header {
		return nil
	}
	pcm := make([]int16, (len(data)-header)/2)
	for i := range pcm {
		pcm[i] = int16(binary.LittleEndian.Uint16(data[header+2*i:]))
	}
	return pcm
}

// Stop ends baresip.
func (b *Baresip) Stop() {
	_ = b.control.Close()
	b.stop()
}
