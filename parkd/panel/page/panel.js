// The panel: shows the status that the appliance sends and hands on what is
// pressed. It decides nothing and remembers nothing but how it is shown.

import { complain, keyButton, named, orbitLetters, padOrder, post, shortcuts } from "./keys.js";
import { Clock, Lamp } from "./lamps.js";
import { Listener } from "./sound.js";
import { el, mediaText, orbitText, qualityText, soundText, stateText, upper, who, words } from "./words.js";

const $ = (id) => document.getElementById(id);
// put changes a text only if it is another, so that screen readers and
// selections are left in peace.
const put = (e, text) => { if (e.textContent !== text) e.textContent = text; };

const clock = new Clock();
const lamps = new Map();  // id -> Lamp
const orbits = new Map(); // number -> parts of its row
let status = null;

let built = "";
function build(s) {
  const plan = JSON.stringify([s.keys, s.orbits.map((o) => o.number), s.lamps.map((l) => l.id)]);
  if (plan === built) return;
  built = plan;
  lamps.clear();
  orbits.clear();
  shortcuts.clear();
  const lamp = (id) => {
    const l = new Lamp(id, clock);
    lamps.set(id, l);
    return l.element;
  };
  const lit = new Set(s.lamps.map((l) => l.id));
  const fill = (id, nodes) => $(id).replaceChildren(...nodes);
  const keys = s.keys.map((k) => k.id.startsWith("volume-") ? { ...k, group: "volume" } : k);
  const of = (g) => keys.filter((k) => k.group === g);

  const pad = of("keypad").sort((a, b) => padOrder.indexOf(a.id) - padOrder.indexOf(b.id));
  $("pad").classList.toggle("four", pad.some((k) => k.id === "A"));
  fill("pad", pad.map((k) => keyButton(k, /[0-9*#]/.test(k.id) ? k.id : "")));

  const functions = keys.filter((k) => !["keypad", "orbit", "volume"].includes(k.group));
  const withLamp = (k) => {
    const b = keyButton(k, named[k.id]);
    if (lit.has(k.id)) b.prepend(lamp(k.id));
    return b;
  };
  const park = functions.filter((k) => k.id === "park").map(withLamp);
  for (const b of park) {
    b.classList.add("park");
    b.querySelector(".cap").before(el("span", "sign", "P"));
  }
  fill("parkrow", park);
  fill("functions", functions.filter((k) => k.id !== "park").map(withLamp));
  const volume = of("volume").sort((a, b) => a.id.localeCompare(b.id)); // down before up
  fill("volume-keys", volume.map((k) => {
    const b = withLamp(k);
    b.querySelector(".cap").textContent = k.id === "volume-up" ? "+" : "−";
    b.querySelector("kbd")?.remove();
    return b;
  }));
  $("volume").hidden = volume.length === 0;

  // A row for each orbit key, then for each orbit without a key.
  const free = [...orbitLetters];
  const rows = of("orbit").map((k) => ({ key: k, number: k.id.replace(/^orbit-/, "") }));
  const seen = new Set(rows.map((r) => r.number));
  for (const o of s.orbits) if (!seen.has(o.number)) rows.push({ key: null, number: o.number });
  const shown = new Set(["park", ...functions.map((k) => k.id), ...volume.map((k) => k.id)]);
  fill("orbits", rows.map((r) => {
    const row = el("div", "orbit");
    row.dataset.orbit = r.number;
    const id = "orbit-" + r.number;
    let button = null;
    if (r.key) {
      button = keyButton(r.key, free.shift());
      button.querySelector(".cap").textContent = r.number;
      button.setAttribute("aria-label", "Orbit " + r.number);
      row.append(button);
    } else {
      row.append(el("span", "bare", r.number));
    }
    if (lit.has(id)) {
      shown.add(id);
      (button || row.firstChild).prepend(lamp(id));
    }
    const label = el("div", "label");
    label.id = "label-" + id;
    button?.setAttribute("aria-describedby", label.id);
    const parts = { row, button, who: el("p", "caller"), what: el("p", "what"), age: el("p", "age"), bar: el("i", "bar") };
    label.append(parts.who, parts.age, parts.what, parts.bar);
    row.append(label);
    orbits.set(r.number, parts);
    return row;
  }));
  $("orbits").classList.toggle("many", rows.length > 12);
  fill("indicators", s.lamps.filter((l) => !shown.has(l.id)).map((l) => {
    const i = el("span", "indicator");
    i.append(lamp(l.id), el("span", "", l.label || words(l.id)), el("span", "hidden", ""));
    return i;
  }));
  $("phone").classList.toggle("gateway", s.keys.length === 0);
  $("hears").hidden = s.keys.length === 0 && s.phone.state === "";
}

// ---- showing

const time = (t) => t ? Date.parse(t) : 0;
function age(since) {
  if (!since) return "";
  return span((clock.now() - time(since)) / 1000);
}
function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
}
const ago = (since) => {
  const s = Math.max(0, Math.floor((clock.now() - time(since)) / 1000));
  return s < 2 ? "just now" : s < 120 ? `${s} s ago` : `${Math.floor(s / 60)} min ago`;
};
function showOrbits(s) {
  const by = new Map(s.orbits.map((o) => [o.number, o]));
  for (const [number, parts] of orbits) {
    const o = by.get(number);
    const state = o ? o.state : "unknown";
    const before = parts.row.dataset.state;
    parts.row.dataset.state = state;
    if (parts.button) parts.button.dataset.state = state;
    lamps.get("orbit-" + number)?.element.setAttribute("data-state", state);
    const caller = o ? who(o.caller) : "";
    const what = o ? orbitText(o, s.appliance.name) : "not an orbit of this site";
    put(parts.who, caller || (state === "free" || state === "unknown" ? "" : "Caller unknown"));
    put(parts.what, state === "free" ? "Free" : caller ? what : upper(what));
    parts.row.title = o && o.calls.length > 1
      ? o.calls.map((c) => `${who(c.caller) || "Caller unknown"} since ${age(c.since)}`).join("\n") : "";
    parts.since = o && state !== "free" ? o.since : "";
    parts.deadline = o && state !== "free" ? o.deadline : "";
    if (before && before !== state) $("announce").textContent = `${number}: ${caller ? caller + ", " : ""}${what}`;
  }
}

function showPhone(s) {
  const p = s.phone;
  const hand = $("handset");
  hand.setAttribute("aria-pressed", String(p.hook_up));
  hand.setAttribute("aria-label", p.hook_up ? "Handset, lifted. Press to replace it." : "Handset, on the hook. Press to lift it.");
  put($("handset-text"), p.hook_up ? "Replace" : "Lift");
  $("phone").dataset.hook = p.hook_up ? "up" : "down";
  $("phone").dataset.ring = p.ring;
  $("hears").dataset.state = p.state;

  put($("state"), stateText(p));
  put($("sound"), soundText(p));

  const toggles = { mute: p.muted, dnd: p.dnd };
  for (const [id, on] of Object.entries(toggles)) $("key-" + id)?.setAttribute("aria-pressed", String(on));
  if (p.volume_max > 0 && $("ticks").childElementCount !== p.volume_max) {
    $("ticks").replaceChildren(...Array.from({ length: p.volume_max }, () => el("i")));
  }
  [...$("ticks").children].forEach((t, i) => t.classList.toggle("on", i < p.volume));
  $("ticks").setAttribute("aria-label", `Volume ${p.volume} of ${p.volume_max}`);
}

// list shows items as rows of a container and keeps those that stay.
function list(container, none, items, key, make, update) {
  const old = new Map([...container.children].map((c) => [c.dataset.id, c]));
  const rows = items.map((item) => {
    const id = key(item);
    const row = old.get(id) || make(item);
    row.dataset.id = id;
    update(row, item);
    return row;
  });
  if (rows.length !== container.childElementCount || rows.some((r, i) => container.children[i] !== r)) container.replaceChildren(...rows);
  $(none).hidden = items.length > 0;
}

const entry = () => {
  const li = el("li");
  li.append(el("span", "mark"), el("b"), el("span", "detail"), el("span", "hint"));
  li.firstChild.setAttribute("aria-hidden", "true");
  return li;
};
function fillEntry(li, grade, title, detail, hint) {
  li.dataset.grade = grade;
  const [mark, b, d, h] = li.children;
  put(mark, { good: "✓", bad: "✕", warn: "!", idle: "?" }[grade]);
  put(b, title);
  put(d, detail);
  put(h, hint || "");
}

function showLists(s) {
  list($("calls"), "calls-none", s.calls, (c) => c.id, () => {
    const tr = el("tr");
    tr.append(el("td"), el("td"), el("td"), el("td"));
    return tr;
  }, (tr, c) => {
    const [a, b, d, m] = tr.children;
    tr.dataset.state = c.state;
    put(a, (c.direction === "in" ? "from " : c.direction === "out" ? "to " : "") + (who(c.remote) || "unknown"));
    put(b, words(c.state) + (c.orbit ? " on " + c.orbit : ""));
    put(d, age(c.since));
    const n = c.media;
    put(m, [mediaText(n) && `${mediaText(n)}, ${n.sent_packets} out, ${n.received_packets} in`, qualityText(c.quality)].filter(Boolean).join("; ") || "none");
  });
  $("calls-table").hidden = s.calls.length === 0;
  list($("ended"), "ended-none", s.ended, (c) => c.id, () => {
    const tr = el("tr");
    tr.append(el("td"), el("td"), el("td"), el("td"));
    return tr;
  }, (tr, c) => {
    const [a, b, d, m] = tr.children;
    put(a, (c.direction === "in" ? "from " : "to ") + (who(c.remote) || "unknown"));
    put(b, new Date(c.ended).toLocaleTimeString());
    put(d, span((time(c.ended) - time(c.since)) / 1000));
    put(m, [mediaText(c.media), qualityText(c.quality) || "quality not known"].filter(Boolean).join("; "));
  });
  $("ended-details").hidden = s.ended.length === 0;
  list($("health"), "health-none", s.health, (c) => c.code + c.text, entry, (li, c) =>
    fillEntry(li, c.severity === "error" ? "bad" : "warn", c.text, c.since ? "for " + age(c.since) : "", c.hint));
  list($("peers"), "peers-none", s.peers, (p) => p.name, entry, (li, p) =>
    fillEntry(li, { alive: "good", dead: "bad" }[p.state] || "idle", p.name,
      { alive: "is there", dead: "does not answer, its orbits are not known", unknown: "not heard yet" }[p.state] || words(p.state),
      p.address + (p.since ? ", for " + age(p.since) : "")));
  list($("accounts"), "accounts-none", s.accounts, (a) => a.aor + a.registrar, entry, (li, a) =>
    fillEntry(li, { registered: "good", failed: "bad" }[a.state] || "idle", a.aor, words(a.state) + (a.reason ? ": " + a.reason : ""),
      a.registrar ? "at " + a.registrar : ""));
}

// tick shows what changes with time alone.
function tick() {
  if (!status) return;
  for (const parts of orbits.values()) {
    put(parts.age, parts.since ? age(parts.since) : "");
    const whole = time(parts.deadline) - time(parts.since);
    parts.bar.style.width = parts.since && parts.deadline && whole > 0
      ? Math.min(100, 100 * (clock.now() - time(parts.since)) / whole) + "%" : "0";
  }
  const p = status.phone;
  put($("prompt"), p.prompt ? `“${p.prompt}”` : "");
  $("prompt").dataset.age = p.prompt && p.prompt_at ? ago(p.prompt_at) : "";
  put($("build"), [status.appliance.version, status.appliance.addresses.join(", "),
    status.appliance.started ? "up " + age(status.appliance.started) : ""].filter(Boolean).join(" · "));
  if ($("calls").childElementCount) for (const c of status.calls) {
    const tr = [...$("calls").children].find((r) => r.dataset.id === c.id);
    if (tr) put(tr.children[2], age(c.since));
  }
}

function show(s) {
  status = s;
  document.title = s.appliance.name + " · Parklamp";
  put($("name"), s.appliance.name);
  build(s);
  for (const l of s.lamps) lamps.get(l.id)?.show(l);
  for (const i of $("indicators").children) {
    const l = s.lamps.find((l) => l.id === i.firstChild.dataset.lamp);
    i.title = words(l.pattern || l.colour);
    put(i.lastChild, ": " + i.title);
  }
  showOrbits(s);
  showPhone(s);
  showLists(s);
  tick();
}

// ---- the live connection

const silence = 7000; // ms without an event after which the appliance is gone
let watchdog = 0;
function link(state, text) {
  document.body.dataset.link = state;
  put($("link"), text);
}
function lost() {
  link("lost", "no connection: nothing here is known");
  // What is not known is never shown as free.
  for (const l of lamps.values()) l.show({ colour: "amber", pattern: "unknown", cadence_ms: [] });
  for (const parts of orbits.values()) {
    parts.row.dataset.state = "unknown";
    if (parts.button) parts.button.dataset.state = "unknown";
    put(parts.who, "");
    put(parts.what, "Not known: no connection to this appliance");
    parts.since = parts.deadline = "";
  }
  tick();
}
function connect() {
  const source = new EventSource("api/events");
  const again = () => {
    source.close();
    lost();
    setTimeout(connect, 1000);
  };
  const alive = () => {
    clearTimeout(watchdog);
    watchdog = setTimeout(again, silence);
  };
  source.addEventListener("status", (e) => {
    const received = performance.now();
    const s = JSON.parse(e.data);
    clock.learn(time(s.at), received);
    alive();
    link("live", "live");
    show(s);
  });
  source.onerror = () => {
    clearTimeout(watchdog);
    again();
  };
  alive();
}
clock.moved = () => { for (const l of lamps.values()) l.lock(); };

// ---- hands

$("handset").addEventListener("click", () => post("hook", { up: !status?.phone.hook_up }));

// ---- listening

const listener = new Listener();
listener.changed = () => {
  const on = listener.state !== "off";
  $("listen").setAttribute("aria-pressed", String(on));
  $("listen").dataset.state = listener.state;
  put($("listen-text"), on ? "Stop listening" : "Listen");
  const c = listener.counts;
  put($("listen-state"), listener.state === "on" && c.played > 0 ? (c.peak > 0.003 ? "you hear the handset" : "the handset is silent") : "");
  // Decibels, for the eye: -48 dBFS is empty, 0 full.
  const level = on && c.peak > 0 ? Math.max(0, 1 + 20 * Math.log10(c.peak) / 48) : 0;
  $("meter").firstChild.style.transform = `scaleX(${level.toFixed(3)})`;
};
$("listen").addEventListener("click", async () => {
  if (listener.state !== "off") {
    listener.stop();
    return;
  }
  try {
    await listener.start();
  } catch (err) {
    complain("Cannot listen: " + err.message);
  }
});

// A coiled cord, drawn once.
$("coil").setAttribute("d", "M8 2 C8 20 10 26 16 28 " + Array.from({ length: 9 }, (_, i) =>
  `c0 -14 12 -14 10 0 c-2 12 -8 10 -2 0`.replace("c0", i ? "c2" : "c0")).join(" ") + " c8 4 14 4 16 -4");

setInterval(tick, 500);
connect();

// For the console and for tests.
globalThis.parklamp = { clock, listener, get status() { return status; } };
