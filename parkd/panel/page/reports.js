// The reports of self tests that the appliance keeps: what came of each, and both files of it for whoever must prove that.
// An appliance that has no self test answers 404 and the card stays hidden.

const $ = (id) => document.getElementById(id);
const base = "/api/selftest/reports";
const shown = 5;
const again = 60000; // ms
const outcomes = { passed: "Passed", warning: "Passed, but look", failed: "Failed", skipped: "Not all was tested", aborted: "Ended before its end" };

const rows = new Map(); // by name: a report does not change

function link(text, name) {
  const a = document.createElement("a");
  a.textContent = text;
  a.href = `${base}/${encodeURIComponent(name)}`;
  a.download = name;
  return a;
}

async function row(name) {
  const answer = await fetch(`${base}/${encodeURIComponent(name)}`, { cache: "no-store" });
  if (!answer.ok) return null; // it has just been removed for a newer one
  const r = await answer.json();
  const signed = (await fetch(`${base}/${encodeURIComponent(name)}.jws`, { method: "HEAD", cache: "no-store" })).ok;
  const li = document.createElement("li");
  li.dataset.outcome = r.outcome;
  li.dataset.grade = r.outcome === "passed" ? "good" : r.outcome === "failed" || r.outcome === "aborted" ? "bad" : "warn";
  const mark = document.createElement("span");
  mark.className = "mark";
  mark.textContent = { good: "✓", bad: "✕", warn: "!" }[li.dataset.grade];
  mark.setAttribute("aria-hidden", "true");
  const text = document.createElement("div");
  const failed = [...new Set((r.findings || []).filter((f) => f.outcome === "failed").map((f) => f.step))];
  const what = document.createElement("b");
  what.textContent = (outcomes[r.outcome] || r.outcome) + (failed.length ? `: ${failed.join(", ")}` : "");
  const more = document.createElement("p");
  more.append(new Date(r.started).toLocaleString(), " · ", link("report", name));
  if (signed) more.append(" · ", link("signature", name + ".jws"));
  else more.append(" · not signed");
  text.append(what, more);
  li.append(mark, text);
  return li;
}

async function look() {
  try {
    const answer = await fetch(base, { cache: "no-store" });
    if (answer.status === 404) return;
    if (answer.ok) {
      const names = (await answer.json()).slice(0, shown);
      const items = [];
      for (const name of names) {
        if (!rows.has(name)) rows.set(name, await row(name));
        if (rows.get(name)) items.push(rows.get(name));
      }
      for (const name of rows.keys()) if (!names.includes(name)) rows.delete(name);
      $("reports").replaceChildren(...items);
      $("reports-none").hidden = items.length > 0;
      $("reports-card").hidden = false;
    }
  } catch {
    // The appliance restarts: the next look finds it.
  }
  setTimeout(look, again);
}

look();
