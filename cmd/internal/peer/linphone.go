package peer

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// Linphone is a running linphonec: another phone of somebody else's make, which can transfer with consultation.
type Linphone struct {
	*process
	commands io.WriteCloser
	addr     netip.AddrPort // immutable
	dir      string         // immutable
	read     int            // bytes of its output that Await has been through
}

// LinphoneOptions configure one linphonec.
type LinphoneOptions struct {
	Dir    string
	User   string
	Speech string // WAV, 8 kHz mono, that it says in every call
	SRTP   bool   // it calls by TLS, and refuses calls whose media is not encrypted
}

const linphoneConfig = `[sip]
sip_port=%[2]d
sip_tcp_port=%[2]d
sip_tls_port=%[4]d
use_ipv6=0
bind_address=127.0.0.1
default_proxy=0
%[3]s[proxy_0]
reg_proxy=<sip:127.0.0.1:%[2]d>
reg_identity=sip:%[1]s@127.0.0.1:%[2]d
reg_sendregister=0
[rtp]
bind_address=127.0.0.1
audio_rtp_port=-1
rtcp_xr_enabled=1
rtcp_xr_rcvr_rtt_mode=all
rtcp_xr_rcvr_rtt_max_size=10000
rtcp_xr_stat_summary_enabled=1
rtcp_xr_voip_metrics_enabled=1
[video]
enabled=0
[audio_codec_0]
mime=PCMU
rate=8000
channels=1
enabled=1
`

const linphoneSRTP = `media_encryption=srtp
media_encryption_mandatory=1
verify_server_certs=0
verify_server_cn=0
`

// StartLinphone starts linphonec on a free port of 127.0.0.1.
func StartLinphone(ctx context.Context, o LinphoneOptions) (*Linphone, error) {
	at, err := freePort()
	if err != nil {
		return nil, err
	}
	// It does not make the folder for its database, and without the database it has no network.
	if err := os.MkdirAll(filepath.Join(o.Dir, ".local/share/linphone"), 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(o.Dir, "linphonerc")
	encryption, tlsPort := "", 0
	if o.SRTP {
		// It has no certificate, so nobody can call it; the appliance's is not checked, which is not what is tested.
		encryption, tlsPort = linphoneSRTP, -1
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, linphoneConfig, o.User, at.Port(), encryption, tlsPort), 0o600); err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p, err := startWith(r, "linphone-"+o.User, o.Dir, []string{"HOME=" + o.Dir}, "linphonec", "-c", file, "-d", "0")
	_ = r.Close()
	if err != nil {
		_ = w.Close()
		return nil, err
	}
	l := &Linphone{process: p, commands: w, addr: at, dir: o.Dir}
	err = l.Command("soundcard use files")
	if err == nil {
		_, err = l.Await(ctx, regexp.MustCompile("Using wav files"))
	}
	if err == nil {
		err = l.Command("play " + o.Speech)
	}
	if err == nil {
		err = l.Command("record " + l.recording())
	}
	if err != nil {
		l.Stop()
		return nil, err
	}
	return l, nil
}

// Command runs one of linphonec's commands, such as "call sip:701@127.0.0.1".
func (l *Linphone) Command(line string) error {
	_, err := fmt.Fprintln(l.commands, line)
	return err
}

// Await blocks until linphonec has printed what matches since the last Await that found something, and returns the match
// and its groups. It is for one goroutine.
func (l *Linphone) Await(ctx context.Context, pattern *regexp.Regexp) ([]string, error) {
	for {
		out := l.Output()
		out = out[min(l.read, len(out)):]
		if at := pattern.FindIndex(out); at != nil {
			l.read += at[1]
			var found []string
			for _, group := range pattern.FindSubmatch(out) {
				found = append(found, string(group))
			}
			return found, nil
		}
		select {
		case <-l.done:
			return nil, fmt.Errorf("linphonec: await %s: %w\n%s", pattern, errEnded, l.tail())
		case <-ctx.Done():
			return nil, fmt.Errorf("linphonec: await %s: %w\n%s", pattern, ctx.Err(), l.tail())
		case <-time.After(20 * time.Millisecond): // another program's output: nobody tells when there is more
		}
	}
}

func (l *Linphone) recording() string { return filepath.Join(l.dir, "heard.wav") }

// Heard is what it has heard so far: 8 kHz samples.
func (l *Linphone) Heard() []int16 {
	return growing(l.recording())
}

// Stop ends linphonec.
func (l *Linphone) Stop() {
	_ = l.Command("quit") // it may have ended
	_ = l.commands.Close()
	l.stop()
}
