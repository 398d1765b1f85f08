package selftest

// Event is one line of what a running test tells whoever started it, as JSON: exactly one field is there.
type Event struct {
	Ask     *Question `json:"ask,omitempty"`
	Finding *Finding  `json:"finding,omitempty"`
	End     *Result   `json:"end,omitempty"` // the last one
}

// Question is an Ask for a terminal.
type Question struct {
	Step    Step   `json:"step,omitempty"`
	Item    string `json:"item,omitempty"`
	Number  int    `json:"number"`
	Of      int    `json:"of"`
	Text    string `json:"text"`
	Again   bool   `json:"again,omitempty"` // the answer was not the one asked for
	Seconds int    `json:"seconds"`         // how long it waits; 0: it needs no hands
}

// Result ends a test.
type Result struct {
	Outcome   Outcome `json:"outcome"`
	Reason    string  `json:"reason,omitempty"`
	Report    string  `json:"report"`              // to the byte as it was signed
	Signature string  `json:"signature,omitempty"` // empty: not signed
	Path      string  `json:"path,omitempty"`      // where the appliance keeps it
	Trouble   string  `json:"trouble,omitempty"`   // why it is not signed, or not kept
}
