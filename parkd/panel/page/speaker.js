// The speaker: an audio worklet that plays what is posted to it. It keeps a
// little sound in hand against a network that is uneven, and never lets the
// delay grow.

const rate = 8000;               // Hz, of what comes in
const room = rate;               // samples held at most: 1 s
const start = 0.08 * rate;       // held before the sound begins
const tooMuch = 0.4 * rate;      // held at which some is skipped
const report = 100;              // ms between reports

class Speaker extends AudioWorkletProcessor {
  ring = new Float32Array(room);
  head = 0;                      // where the next sample goes
  held = 0;                      // samples in the ring
  part = 0;                      // fraction of a sample already played
  playing = false;
  last = 0;
  peak = 0;
  next = 0;
  counts = { received: 0, played: 0, skipped: 0, underruns: 0, held: 0, peak: 0 };

  constructor() {
    super();
    this.port.onmessage = (e) => this.take(e.data);
  }

  take(samples) {
    this.counts.received += samples.length;
    for (const s of samples) {
      this.ring[this.head] = s / 32768;
      this.head = (this.head + 1) % room;
    }
    this.held += samples.length;
    if (this.held > tooMuch) {
      this.counts.skipped += this.held - start;
      this.held = start;
    }
  }

  process(inputs, outputs) {
    const out = outputs[0][0];
    const step = rate / sampleRate;
    for (let i = 0; i < out.length; i++) {
      if (!this.playing && this.held >= start) this.playing = true;
      if (this.playing && this.held < 2) {
        this.playing = false;
        this.counts.underruns++;
      }
      if (!this.playing) {
        out[i] = this.last *= 0.9; // fades, so that it does not click
        continue;
      }
      const at = (this.head - this.held + room) % room;
      const a = this.ring[at], b = this.ring[(at + 1) % room];
      out[i] = this.last = a + (b - a) * this.part;
      this.part += step;
      const whole = Math.floor(this.part);
      this.part -= whole;
      this.held -= whole;
      this.counts.played += whole;
      this.peak = Math.max(this.peak, Math.abs(this.last));
    }
    for (const other of outputs[0].slice(1)) other.set(out);
    if (currentTime * 1000 >= this.next) {
      this.next = currentTime * 1000 + report;
      this.port.postMessage({ ...this.counts, held: this.held, peak: this.peak });
      this.peak = 0;
    }
    return true;
  }
}

registerProcessor("parklamp-speaker", Speaker);
