// Listening to the handset: an endless WAV stream, taken apart here and played
// by the worklet in speaker.js.

const headBytes = 44;

// Listener plays the handset between start and stop.
export class Listener {
  // counts are the worklet's: samples received and played, underruns and more.
  counts = { received: 0, played: 0, skipped: 0, underruns: 0, held: 0, peak: 0 };
  state = "off"; // off, starting, on
  changed = () => {}; // state or counts
  analyser = null;
  context = null;
  #stop = null;

  // start returns when the sound runs, or throws what went wrong.
  async start() {
    if (this.state !== "off") return;
    this.#stop = new AbortController();
    const signal = this.#stop.signal;
    this.#set("starting");
    try {
      // Made at the rate of the stream, so that the browser resamples.
      const context = this.context = new AudioContext({ sampleRate: 8000, latencyHint: "interactive" });
      await context.audioWorklet.addModule("speaker.js");
      const speaker = new AudioWorkletNode(context, "parklamp-speaker",
        { numberOfInputs: 0, outputChannelCount: [1] });
      this.analyser = new AnalyserNode(context, { fftSize: 1024 });
      speaker.connect(this.analyser).connect(context.destination);
      speaker.port.onmessage = (e) => { this.counts = e.data; this.changed(); };
      await context.resume();
      const answer = await fetch("api/listen", { signal, cache: "no-store" });
      if (!answer.ok) throw new Error((await answer.json()).error);
      if (signal.aborted) return;
      this.#set("on");
      this.#play(answer.body.getReader(), speaker.port, signal);
    } catch (err) {
      if (signal.aborted) return;
      this.stop();
      throw err;
    }
  }

  stop() {
    this.#stop?.abort();
    this.context?.close();
    this.context = this.analyser = this.#stop = null;
    this.counts = { ...this.counts, held: 0, peak: 0 };
    this.#set("off");
  }

  async #play(reader, port, signal) {
    let head = headBytes, odd = new Uint8Array(0);
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        let bytes = value.subarray(Math.min(head, value.length));
        head -= value.length - bytes.length;
        if (odd.length) {
          const joined = new Uint8Array(odd.length + bytes.length);
          joined.set(odd);
          joined.set(bytes, odd.length);
          bytes = joined;
        }
        const whole = bytes.length & ~1;
        odd = bytes.slice(whole);
        if (!whole) continue;
        const view = new DataView(bytes.buffer, bytes.byteOffset, whole);
        const samples = new Int16Array(whole / 2);
        for (let i = 0; i < samples.length; i++) samples[i] = view.getInt16(2 * i, true);
        port.postMessage(samples, [samples.buffer]);
      }
    } catch { /* the connection broke, as below */ }
    if (!signal.aborted) this.stop();
  }

  #set(state) {
    this.state = state;
    this.changed();
  }
}
