// Lamps that blink as the real ones do: the colour and cadence come from the
// status, the phase from the appliance's clock, so that every lamp of every
// panel blinks together.

// Clock reckons the appliance's time from the page's monotonic clock. A status
// is always a little late, never early: the least late of the last ones is the
// best guess.
export class Clock {
  #late = [];
  #base = 0; // appliance's Unix time in ms at performance.now() === 0
  moved = () => {}; // called when the guess changed so that one could see it

  learn(at, received) {
    this.#late.push(at - received);
    if (this.#late.length > 30) this.#late.shift();
    const base = Math.max(...this.#late);
    const far = Math.abs(base - this.#base) > 4;
    if (far) {
      this.#base = base;
      this.moved();
    }
  }

  // phase returns the time of the document timeline, at most one period ago,
  // at which a cadence of this period began.
  phase(period) { return -(this.#base % period); }

  now() { return this.#base + performance.now(); }
}

const still = matchMedia("(prefers-reduced-motion: reduce)");

// Lamp is one lamp on the page.
export class Lamp {
  #clock;
  #shown = "";
  #animation = null;
  #period = 0;

  constructor(id, clock) {
    this.#clock = clock;
    this.element = document.createElement("span");
    this.element.className = "lamp";
    this.element.dataset.lamp = id;
    this.element.setAttribute("aria-hidden", "true"); // the text beside says it
    this.glow = document.createElement("span");
    this.glow.className = "glow";
    this.element.append(this.glow);
    this.show({ colour: "off", pattern: "off", cadence_ms: [] });
  }

  // show takes a lamp of the status; what is shown already goes on undisturbed.
  show(lamp) {
    const cadence = still.matches ? [] : lamp.cadence_ms;
    const wanted = lamp.colour + "/" + lamp.pattern + "/" + cadence;
    if (wanted === this.#shown) return;
    this.#shown = wanted;
    const d = this.element.dataset;
    d.colour = lamp.colour;
    d.pattern = lamp.pattern;
    d.cadence = lamp.cadence_ms.join(" ");
    this.#animation?.cancel();
    this.#animation = null;
    this.#period = cadence.reduce((a, b) => a + b, 0);
    if (lamp.colour === "off" || this.#period <= 0) return;
    let at = 0;
    const frames = cadence.map((ms, i) => {
      const frame = { opacity: i % 2 === 0 ? 1 : 0, offset: at / this.#period, easing: "steps(1, end)" };
      at += ms;
      return frame;
    });
    frames.push({ opacity: frames.at(-1).opacity, offset: 1 });
    this.#animation = this.glow.animate(frames, { duration: this.#period, iterations: Infinity });
    this.lock();
  }

  // lock puts the blinking in phase with the appliance.
  lock() {
    if (this.#animation) this.#animation.startTime = this.#clock.phase(this.#period);
  }
}
