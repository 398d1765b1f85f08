package sip

import gosip "github.com/emiago/sipgo/sip"

// maxAuthTries is how often one request is sent again with credentials.
const maxAuthTries = 2

// Credentials answer a digest challenge.
type Credentials struct {
	Username string
	Password string
}

func (c *Credentials) answer(req *gosip.Request, res *gosip.Response) (*gosip.Request, bool) {
	return nil, false
}
