package audio

import "time"

// The shape of the way between the device's clock and the pacer's.
const (
	lineSamples = 16000 / 1000 * 300 // capacity, 300 ms at 16 kHz; the oldest samples are dropped when more come
	stamps      = 16                 // last arrivals whose time is known
	window      = 500 * time.Millisecond
	// mostExcess is how much longer than the margin samples may wait before they are dropped instead of played faster.
	mostExcess = 30 * time.Millisecond
	fadeLength = 2 * time.Millisecond // of the seam where a piece is missing

	// When a piece was missing the margin grows, and shrinks again while nothing is.
	growMargin   = 1500 * time.Microsecond
	shrinkMargin = 25 * time.Microsecond // each window
	mostMargin   = 20 * time.Millisecond
)

// The controller that keeps two clocks together: it knows how fast the device is from counting its samples, and corrects what
// remains slowly: 150 parts in a million for each millisecond is a quarter of a cent.
const (
	ppmPerMs   = 150.0 // for each millisecond that samples wait too long
	mostPPM    = 8000.0
	mostMs     = 15.0 // of correction at once
	haste      = 3.0  // away from a gap the way is quicker: the slack shrinks meanwhile
	guard      = 500 * time.Microsecond
	hysteresis = time.Millisecond
	leadStep   = time.Millisecond // of a reader that moves: that is a slot of the pacer
	leastCount = 5 * time.Second  // before a count of samples says anything
	mostCount  = 5 * time.Minute  // then a new count begins, for crystals follow the temperature
)

// line carries samples between two clocks: a device's and the pacer's. The writer pushes pieces of one length, the reader
// pops pieces of another. It measures how long the newest sample of a piece has waited when it is read (the slack: how late
// its piece could have come), and says by how much the device's side is to be faster, so that the least slack stays above
// the margin and the delay as small as that allows, whatever the phase of the two clocks.
//
// The slack moves in steps: a piece read is either whole without the newest piece written, or needs a sample of it. So the
// delay is kept just (guard) on the safe side of such a step, and goes over it only when the slack on the other side is
// enough.
//
// A reader may move instead (led): then the pieces stay as they are, and it reads just after one has come.
//
// It is not for several goroutines; whoever owns it has a lock.
type line struct {
	rate   int // samples per second
	floor  time.Duration
	margin time.Duration
	locked bool          // both clocks are one: nothing to correct
	alone  int           // pops since shift was asked for: of a reader that does not move there are many
	shift  time.Duration // by how much later the pops are to come

	buf     [lineSamples]int16
	read    uint64 // samples ever read, and written
	written uint64
	piece   int // length of the last push
	arrived [stamps]arrival
	pushes  int

	running bool // samples flow; else the reader waits until enough are there
	starved bool // samples ran out: the next ones are faded in
	last    int16

	windowEnd time.Duration
	slack     time.Duration // least in this window, -1 before the first
	atSlack   int           // samples of the newest piece that were not needed then
	near      int           // least of such samples in this window: how far it is to the next step
	taken     int           // length of the last pop
	count     count         // of the device's samples
	device    float64       // ppm by which the device's clock was found to be faster than ours
	lasting   float64       // ppm of correction for that
	ppm       float64       // by which the device's side is to use up samples faster
	gaps      uint64
}

// count measures the clock of a device.
type count struct {
	calls  int
	since  time.Duration
	last   time.Duration
	frames int
	rate   int
}

// add notes n frames of the device at a nominal rate and returns the ppm by which it is fast, if that is known.
func (c *count) add(n, rate int, now time.Duration) (float64, bool) {
	period := time.Duration(n) * time.Second / time.Duration(rate)
	c.calls++
	switch {
	case rate != c.rate || now-c.last > period*9/5:
		*c = count{rate: rate, last: now} // an xrun or a pause: frames are missing
		return 0, false
	case c.calls < 10: // the first ones fill a queue
		c.since, c.last = now, now
		return 0, false
	}
	c.frames, c.last = c.frames+n, now
	d := now - c.since
	if d < leastCount {
		return 0, false
	}
	ppm := (float64(c.frames)/float64(rate)/d.Seconds() - 1) * 1e6
	if d > mostCount {
		c.since, c.frames = now, 0
	}
	return ppm, true
}

// led reports whether the reader moves its pops as the line says, so that the device's side is not to be corrected.
func (l *line) led() bool { return !l.locked && l.alone < 2 }

// lead returns by how much later the next pop is to come.
func (l *line) lead() time.Duration {
	l.alone = 0
	by := max(-leadStep, min(leadStep, l.shift))
	if l.shift -= by; by != 0 {
		l.slack = -1
	}
	return by
}

// tick notes that the device has moved n frames. sign is 1 for a device that writes, -1 for one that reads: who is fast is
// to write less, or to read less.
func (l *line) tick(n, rate int, sign float64, now time.Duration) {
	if ppm, ok := l.count.add(n, rate, now); ok {
		l.device = max(-mostPPM, min(mostPPM, ppm))
		l.lasting = sign * l.device
	}
}

type arrival struct {
	end uint64 // written after it
	at  time.Duration
}

func newLine(rate int, margin time.Duration, locked bool) *line {
	l := &line{floor: margin, margin: margin, locked: locked}
	l.reset(rate)
	return l
}

// reset forgets the samples, not what was learnt of the clocks.
func (l *line) reset(rate int) {
	l.rate = rate
	l.read, l.written, l.piece, l.pushes = 1<<32, 1<<32, 0, 0
	l.arrived = [stamps]arrival{}
	l.running, l.starved, l.last = false, false, 0
	l.slack, l.windowEnd = -1, 0
}

// level returns the samples that wait.
func (l *line) level() int { return int(l.written - l.read) }

// samples converts a time.
func (l *line) samples(d time.Duration) int { return int(d * time.Duration(l.rate) / time.Second) }

// push adds samples that came now.
func (l *line) push(x []int16, now time.Duration) {
	for _, s := range x {
		l.buf[l.written%lineSamples] = s
		l.written++
	}
	if over := l.level() - lineSamples; over > 0 {
		l.read += uint64(over)
	}
	l.piece = len(x)
	l.arrived[l.pushes%stamps] = arrival{end: l.written, at: now}
	l.pushes++
}

// pop fills dst. What is missing is silence.
func (l *line) pop(dst []int16, now time.Duration) {
	clear(dst)
	if l.alone++; l.alone == 2 {
		l.shift = 0
	}
	if !l.running && !l.begin(len(dst), now) {
		return
	}
	n := min(len(dst), l.level())
	for i := range n {
		dst[i] = l.buf[l.read%lineSamples]
		l.read++
	}
	fade := l.samples(fadeLength)
	if l.starved && n > 0 {
		l.starved = false
		for i := range min(fade, n) {
			dst[i] = int16(int(dst[i]) * (i + 1) / (fade + 1))
		}
	}
	if n < len(dst) {
		l.starve(dst, n, fade)
		return
	}
	if n > 0 {
		l.last = dst[n-1]
	}
	l.learn(n, now)
}

// begin finds where to start, so that from now on the newest sample of each piece has waited for the margin.
func (l *line) begin(n int, now time.Duration) bool {
	whole := uint64(max(n, l.piece))
	for k := 1; k <= min(l.pushes, stamps); k++ {
		a := l.arrived[(l.pushes-k)%stamps]
		if now-a.at < l.margin {
			continue
		}
		if a.end < l.read+whole {
			return false
		}
		from := a.end - whole
		if !l.locked {
			from -= uint64(l.samples(guard))
			for i := from; i < l.read; i++ {
				l.buf[i%lineSamples] = 0
			}
		}
		l.read, l.running = from, true
		l.slack, l.windowEnd = -1, now+window
		return true
	}
	return false
}

// starve ends the sound softly: what came last fades, and more margin is kept from now on.
func (l *line) starve(dst []int16, n, fade int) {
	if n > 0 {
		l.last = dst[n-1]
	}
	for i := n; i < min(len(dst), n+fade); i++ {
		dst[i] = int16(int(l.last) * (n + fade - i) / (fade + 1))
	}
	l.running, l.starved, l.last = false, true, 0
	l.margin = min(mostMargin, l.margin+growMargin)
	l.gaps++
}

// learn notes the slack of the piece that was just read.
func (l *line) learn(n int, now time.Duration) {
	// The earliest arrival that holds the newest sample read.
	var holds arrival
	for k := 1; k <= min(l.pushes, stamps); k++ {
		a := l.arrived[(l.pushes-k)%stamps]
		if a.end < l.read {
			break
		}
		holds = a
	}
	slack, spare := now-holds.at, int(holds.end-l.read)
	if l.slack < 0 {
		l.slack, l.atSlack, l.near = slack, spare, spare
	}
	if slack < l.slack {
		l.slack, l.atSlack = slack, spare
	}
	l.near, l.taken = min(l.near, spare), n
	if now < l.windowEnd {
		return
	}
	l.margin = max(l.floor, l.margin-shrinkMargin)
	l.correct()
	l.slack, l.windowEnd = -1, now+window
}

// correct is a step of the controller.
func (l *line) correct() {
	if l.locked {
		return
	}
	if l.slack > l.margin+mostExcess {
		// The machine stood still: what waits too long is left out, with a seam.
		l.running, l.starved = false, true
		return
	}
	if l.led() {
		l.ppm = 0
		if by := l.margin + leadStep/2 - l.slack; by > leadStep/2 || by < -leadStep {
			l.shift = by.Round(leadStep)
		}
		return
	}
	ms := func(samples int) float64 { return float64(samples) * 1000 / float64(l.rate) }
	// excess is by how many milliseconds the delay is to become shorter.
	excess := ms(l.near - l.samples(guard))
	step := min(l.piece, l.taken)
	switch {
	case l.slack < l.margin:
		// Back over the step: the samples of the newest piece that were needed must not be.
		excess = -ms(l.piece-l.atSlack+l.samples(guard)) * haste
	case l.slack > l.margin+hysteresis+time.Duration(step)*time.Second/time.Duration(l.rate):
		excess += ms(step)
	}
	excess = max(-mostMs, min(mostMs, excess))
	l.ppm = max(-mostPPM, min(mostPPM, l.lasting+ppmPerMs*excess))
}
