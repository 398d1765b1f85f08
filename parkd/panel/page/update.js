// The update of the system: hands a bundle to the appliance and shows how far it is. The appliance decides by the
// bundle's signature; a machine that cannot be updated answers 204 and the card stays hidden.

const $ = (id) => document.getElementById(id);
const percent = (s) => s.total > 0 ? ` ${Math.floor(100 * s.done / s.total)} %` : "";

const warning = (s) => s.warning ? ` Warning: ${s.warning}.` : "";

const stages = {
  idle: () => "",
  writing: (s) => `Writing ${s.target}:${percent(s)}${warning(s)}`,
  verifying: (s) => `Reading ${s.target} back:${percent(s)}${warning(s)}`,
  waiting: (s) => `${s.target} is written and proved. It starts when no call is here: ${s.waiting || ""}${warning(s)}`,
  restarting: (s) => `Restarting into ${s.target}.`,
  trial: (s) => `${s.version} is on trial until the phone has been well for 20 s.`,
  failed: (s) => s.error || "",
};

let timer = 0;

function show(s) {
  $("update-card").hidden = false;
  $("update-version").textContent = `${s.board} ${s.version}, slot ${s.slot}`;
  const text = (stages[s.stage] || (() => s.stage))(s);
  $("update-state").textContent = text;
  $("update-state").classList.toggle("bad", s.stage === "failed");
  const busy = s.stage === "writing" || s.stage === "verifying";
  $("update-bar").hidden = !busy;
  if (busy) $("update-bar").value = s.total > 0 ? s.done / s.total : 0;
  return s.stage !== "idle" && s.stage !== "failed";
}

async function look() {
  clearTimeout(timer);
  let again = true;
  try {
    const answer = await fetch("/api/update", { cache: "no-store" });
    if (answer.status === 204) return;
    if (answer.ok) again = show(await answer.json());
  } catch {
    // The appliance restarts: ask until it is back.
  }
  if (again) timer = setTimeout(look, 1000);
}

async function send() {
  const file = $("update-file").files[0];
  if (!file) return;
  $("update-send").disabled = true;
  timer = setTimeout(look, 500);
  let refused = "";
  const post = (path, body) => fetch("/api/update" + path, { method: "POST", headers: { "Content-Type": "application/octet-stream" }, body });
  try {
    // Its head says whether it is genuine and fits: one that is refused need not be sent.
    let answer = await post("/check", file.slice(0, 8192));
    if (answer.status === 202) {
      const why = (await answer.clone().json()).warning;
      if (why && !confirm(`Install this? ${why}.`)) refused = `Nothing was sent: ${why}.`;
    }
    if (answer.status === 202 && !refused) answer = await post($("update-now").checked ? "?now=1" : "", file);
    const said = await answer.json();
    if (answer.status === 200) refused = "The appliance runs this already.";
    else if (!answer.ok && !refused) refused = said.error;
  } catch {
    refused = "The upload broke off. Send it again: what is written already is kept.";
  }
  $("update-send").disabled = false;
  await look();
  if (refused) {
    $("update-state").textContent = refused;
    $("update-state").classList.add("bad");
  }
}

$("update-file").addEventListener("change", () => { $("update-send").disabled = !$("update-file").files[0]; });
$("update-send").addEventListener("click", send);
look();
