// Keys: what a mouse, a finger, a keyboard or a screen reader does to a key of
// the page is done to the key of the phone.

import { el } from "./words.js";

// Requests go one after another: a key must not come up before it went down.
let turn = Promise.resolve();
export function post(path, body) {
  turn = turn.then(async () => {
    try {
      const r = await fetch("api/" + path, {
        method: "POST", headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body), keepalive: true,
      });
      if (!r.ok) complain((await r.json()).error);
    } catch {
      complain("The appliance does not answer.");
    }
  });
  return turn;
}

let quiet = 0;
export function complain(text) {
  document.getElementById("alert").textContent = text;
  document.getElementById("alert").hidden = false;
  clearTimeout(quiet);
  quiet = setTimeout(() => { document.getElementById("alert").hidden = true; }, 6000);
}

const down = new Set();
function press(key) {
  if (down.has(key)) return;
  down.add(key);
  mark(key);
  post("press", { key, action: "down" });
}
function release(key) {
  if (!down.delete(key)) return;
  mark(key);
  post("press", { key, action: "up" });
}
function releaseAll() { for (const key of [...down]) release(key); }
function mark(key) {
  document.querySelector(`[data-key="${CSS.escape(key)}"]`)?.classList.toggle("down", down.has(key));
}

const letters = { 2: "ABC", 3: "DEF", 4: "GHI", 5: "JKL", 6: "MNO", 7: "PQRS", 8: "TUV", 9: "WXYZ", 0: "+" };
export const named = { park: "p", hold: "h", transfer: "t", conference: "b", redial: "r", mute: "m", dnd: "n", headset: "v", "volume-up": "+", "volume-down": "-" };
export const orbitLetters = "asdfgjklqweyuizxc"; // the home row first, none that is named above
export const padOrder = "123A456B789C*0#D";
const names = { "*": "star", "#": "hash", "volume-up": "Volume up", "volume-down": "Volume down", dnd: "Do not disturb" };
export const shortcuts = new Map(); // what the keyboard sends -> key id

export function keyButton(key, shortcut) {
  const b = el("button", "key");
  b.type = "button";
  b.id = "key-" + key.id;
  b.dataset.key = key.id;
  b.dataset.group = key.group;
  b.append(el("span", "cap", key.label || key.id));
  if (key.group === "keypad" && letters[key.id]) b.append(el("span", "letters", letters[key.id]));
  b.setAttribute("aria-label", names[key.id] || key.label || key.id);
  if (shortcut) {
    shortcuts.set(shortcut, key.id);
    b.setAttribute("aria-keyshortcuts", shortcut);
    if (key.group !== "keypad") {
      const k = el("kbd", "", shortcut.toUpperCase());
      k.setAttribute("aria-hidden", "true");
      b.append(k);
    }
  }
  b.addEventListener("pointerdown", (e) => {
    if (e.button !== 0) return;
    b.setPointerCapture(e.pointerId); // so that it comes up wherever the finger goes
    press(key.id);
  });
  for (const over of ["pointerup", "pointercancel", "lostpointercapture"]) b.addEventListener(over, () => release(key.id));
  b.addEventListener("contextmenu", (e) => e.preventDefault()); // a long touch is a long press
  b.addEventListener("keydown", (e) => {
    if (e.key !== "Enter" && e.key !== " ") return;
    e.preventDefault();
    e.stopPropagation();
    if (!e.repeat) press(key.id);
  });
  b.addEventListener("keyup", (e) => { if (e.key === "Enter" || e.key === " ") release(key.id); });
  b.addEventListener("blur", () => release(key.id));
  // A screen reader clicks without pointer or keyboard.
  b.addEventListener("click", (e) => { if (e.detail === 0 && e.pointerType !== "mouse") post("press", { key: key.id, action: "tap" }); });
  return b;
}

// The keyboard presses keys wherever the focus is, unless that is turned off.
const remember = document.getElementById("shortcuts");
try { remember.checked = localStorage.getItem("shortcuts") !== "off"; } catch { /* private window */ }
remember.addEventListener("change", () => {
  try { localStorage.setItem("shortcuts", remember.checked ? "on" : "off"); } catch { /* private window */ }
  document.body.classList.toggle("noshortcuts", !remember.checked);
});
document.body.classList.toggle("noshortcuts", !remember.checked);

const pressed = new Map(); // code of a keyboard key -> key id
addEventListener("keydown", (e) => {
  if (!remember.checked || e.ctrlKey || e.altKey || e.metaKey || e.repeat || e.target.matches?.("input:not([type=checkbox]),textarea,select")) return;
  if (e.key.toLowerCase() === "o") {
    document.getElementById("handset").click();
    return;
  }
  const key = shortcuts.get(e.key) || shortcuts.get(e.key.toLowerCase());
  if (!key) return;
  e.preventDefault();
  pressed.set(e.code, key);
  press(key);
});
addEventListener("keyup", (e) => {
  const key = pressed.get(e.code);
  if (!key) return;
  pressed.delete(e.code);
  release(key);
});
addEventListener("blur", releaseAll);
addEventListener("pagehide", releaseAll);
document.addEventListener("visibilitychange", () => { if (document.hidden) releaseAll(); });
