// Words: what the names of the status mean to people.

export const el = (tag, className, text) => {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
};

export const who = (p) => {
  const number = p.number || p.uri;
  if (!p.name || p.name === number) return number;
  return number ? `${p.name} (${number})` : p.name;
};
export const words = (name) => name.replaceAll("-", " ").replaceAll("_", " ");
export const upper = (text) => text.charAt(0).toUpperCase() + text.slice(1);

const orbitWords = {
  "free": () => "Free",
  "parked-here": () => "parked here",
  "parked-elsewhere": (o) => "parked on " + (o.host || "another appliance"),
  "recalling": (o) => "time is up, calling " + (who(o.parker) || "the parker") + " back",
  "ending": () => "time is nearly up",
  "queued": (o) => o.calls.length > 1 ? `${o.calls.length} callers wait here` : "waits with priority",
  "fetching": () => "being taken",
  "claiming": () => "being parked",
  "unknown": (o) => "not known: " + (o.calls.length ? (o.host || "its appliance") + " does not answer" : "no other appliance answers"),
};

// orbitText says what happens in an orbit, without its caller.
export function orbitText(o, here) {
  const text = (orbitWords[o.state] || (() => words(o.state)))(o);
  if (o.state === "free") return text;
  const parker = o.state === "recalling" ? "" : who(o.parker);
  const away = o.host && o.host !== here && !text.includes(o.host);
  return text + (parker && ", by " + parker) + (away ? ", on " + o.host : "");
}

// Words for the names of sip/phone; a name without an entry is shown as it is.
// A % stands for the other party.
const states = {
  "idle": ["On the hook"], "ringing": ["Being called", "Being called by %"], "dial-tone": ["Ready to dial"], "dialing": ["Dialling"],
  "calling": ["Calling", "Calling %"], "talking": ["In a call", "Talking with %"], "conference": ["In a conference", "In a conference with %"], "parking": ["Parking the caller", "Parking %"],
  "fetching": ["Fetching the caller", "Fetching %"], "transferring": ["Transferring", "Transferring %"],
  "parked": ["Parked; Park takes it back", "Parked %; Park takes it back"],
  "listing": ["Hearing who is parked; Park takes the oldest"], "failure": ["Refused"], "quiet": ["Left off the hook"],
};
const tones = {
  "dial": "dial tone", "ringback": "ringing tone", "busy": "busy tone", "reorder": "reorder tone: not possible",
  "confirm": "confirming beep", "error": "error beep", "reminder": "reminder: a call is on hold",
};
const rings = {
  "normal": "The phone rings", "recall": "The phone rings in the recall rhythm: a parked call comes back",
  "reminder": "The phone rings: a call is still on hold", "waiting": "Soft beeps: another call waits",
  "recall-waiting": "Soft beeps: a parked call comes back",
};

// stateText says what the phone is doing.
export function stateText(p) {
  const peer = [p.party, p.third].map(who).filter(Boolean).join(" and ");
  const [plain, named] = states[p.state] || [upper(words(p.state))];
  const text = peer && named ? named.replace("%", () => peer) : peer ? `${plain}: ${peer}` : plain;
  return p.digits ? text + " " + p.digits : text;
}

// soundText says what there is to hear.
export function soundText(p) {
  const parts = [];
  if (p.ring) parts.push(rings[p.ring] || "The phone rings: " + words(p.ring));
  if (p.tone) parts.push(upper(tones[p.tone] || words(p.tone) + " tone"));
  if (!parts.length) parts.push(p.state === "talking" ? "The other end" : p.state === "conference" ? "The other ends" : p.state === "idle" ? "Nothing, all is quiet" : "Silence");
  if (p.muted) parts.push("the microphone is muted");
  if (p.dnd) parts.push("do not disturb is on");
  return parts.join(" · ");
}

// mediaText says what a call's sound is made of, "" if there is none.
export const mediaText = (m) => m.codec ? `${m.codec}, ${m.encryption ? "encrypted" : "not encrypted"}` : "";

// qualityText says how a call sounds to whom, "" if nothing is known.
export function qualityText(q) {
  const side = (s, name) => s.known
    ? `MOS ${s.mos.toFixed(1)} ${name} (R ${s.r.toFixed(0)}, ${s.loss_percent.toFixed(1)} % lost, ${s.discard_percent >= .05 ? `${s.discard_percent.toFixed(1)} % late, ` : ""}jitter ${s.jitter_ms.toFixed(1)} ms)` : "";
  return [side(q.in, "here"), side(q.out, "there"), q.round_trip_ms ? `round trip ${q.round_trip_ms.toFixed(0)} ms` : ""].filter(Boolean).join(", ");
}
