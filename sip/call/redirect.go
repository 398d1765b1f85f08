package call

import (
	"cmp"
	"slices"
	"strconv"

	gosip "github.com/emiago/sipgo/sip"
)

// maxRedirects is how many targets of redirections one call tries. RFC 3261 §8.1.3.4 leaves it to us.
const maxRedirects = 5

// redirected calls the next target that a 3xx has named, this one or one before a failure, and says whether there was one.
// RFC 3261 §8.1.3.4: To, From and Call-ID stay, CSeq grows; a 6xx ends the search. An INVITE that is to replace a dialog
// goes to who has the dialog and nowhere else.
func (c *Call) redirected(res *gosip.Response) bool {
	switch {
	case c.options.Replaces != nil || res.StatusCode >= 600:
		return false
	case res.StatusCode >= 300 && res.StatusCode <= 302:
		c.detours = append(c.detours, targets(res)...)
	}
	for len(c.detours) > 0 {
		next := c.detours[0]
		c.detours = c.detours[1:]
		if c.turns[next.String()] || len(c.turns) >= maxRedirects {
			continue // RFC 3261 §8.1.3.4: no URI twice
		}
		c.turns[next.String()] = true
		if c.turnTo(next) {
			return true
		}
	}
	return false
}

// turnTo calls another target as if it had been called in the first place.
func (c *Call) turnTo(to gosip.Uri) bool {
	if len(c.options.Route) == 0 { // else the proxy goes on to find the way
		transport, _ := to.UriParams.Get("transport")
		contact := c.ua.ep.ContactFor(to.Host, transport)
		if contact.Host == "" {
			return false
		}
		contact.User = c.options.From.User
		c.d.Contact, c.d.Transport, c.d.RouteSet = contact.String(), "", nil
		if to.Host != c.options.To.Host {
			c.SetAuth(nil) // the password is for who was called
		}
	}
	c.d.RemoteTarget, c.d.RemoteTag = to.String(), ""
	c.forks, c.lastRing, c.hasMedia = map[string]Dialog{}, "", false
	c.log.Info("call is redirected", "to", to.Host)
	c.call()
	return true
}

// targets are the Contacts of a redirection that can be called, the preferred first.
func targets(res *gosip.Response) []gosip.Uri {
	type target struct {
		uri gosip.Uri
		q   float64
	}
	var all []target
	for _, h := range res.GetHeaders("contact") {
		c, ok := h.(*gosip.ContactHeader)
		if !ok || c.Address.Wildcard || c.Address.Host == "" || c.Address.Scheme != "sip" && c.Address.Scheme != "sips" || len(all) == maxRedirects {
			continue
		}
		t := target{uri: *c.Address.Clone(), q: 1}
		if v, ok := c.Params.Get("q"); ok {
			if q, err := strconv.ParseFloat(v, 64); err == nil {
				t.q = q
			}
		}
		// RFC 3261 §19.1.5: what would change the request is not taken from a stranger.
		t.uri.Headers = nil
		t.uri.UriParams.Remove("method")
		all = append(all, t)
	}
	slices.SortStableFunc(all, func(x, y target) int { return cmp.Compare(y.q, x.q) })
	uris := make([]gosip.Uri, len(all))
	for i, t := range all {
		uris[i] = t.uri
	}
	return uris
}
