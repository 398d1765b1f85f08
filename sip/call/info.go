package call

import (
	"strings"

	gosip "github.com/emiago/sipgo/sip"

	"parklamp/sip"
)

// onINFO takes key presses that come as messages. RFC 6086; the two formats are the ones in use.
func (c *Call) onINFO(req *gosip.Request, tx *sip.ServerTx) {
	if c.state == phaseEnded {
		respond(req, tx, 481, statusText(481))
		return
	}
	if !c.inOrder(req, tx) {
		return
	}
	if len(req.Body()) == 0 {
		// RFC 6086 §4.2.2: an INFO without a package and a body is answered 200.
		respond(req, tx, 200, statusText(200))
		return
	}
	digit, known := infoDigit(contentType(req), req.Body())
	switch {
	case !known:
		respond(req, tx, 415, statusText(415), header("Accept", "application/dtmf-relay, application/dtmf"))
	case digit == 0:
		respond(req, tx, 400, statusText(400))
	default:
		respond(req, tx, 200, statusText(200))
		c.emit(DTMF{Digit: digit})
	}
}

// infoDigit reads the body of an INFO: known says whether its type is, digit is 0 if the body is wrong.
func infoDigit(kind string, body []byte) (digit byte, known bool) {
	kind, _, _ = strings.Cut(kind, ";")
	text := strings.TrimSpace(string(body))
	switch strings.ToLower(strings.TrimSpace(kind)) {
	case "application/dtmf-relay":
		signal := ""
		for line := range strings.Lines(text) {
			if k, v, ok := strings.Cut(line, "="); ok && strings.EqualFold(strings.TrimSpace(k), "signal") {
				signal = strings.TrimSpace(v)
			}
		}
		text = signal
	case "application/dtmf":
	default:
		return 0, false
	}
	switch strings.ToUpper(text) {
	case "10":
		return '*', true // some gateways send the event number of RFC 4733
	case "11":
		return '#', true
	}
	if len(text) != 1 || !strings.Contains("0123456789*#ABCD", strings.ToUpper(text)) {
		return 0, true
	}
	return strings.ToUpper(text)[0], true
}
