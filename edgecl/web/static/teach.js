// Teaching: name a class, hold the button to collect pictures of it, learn them, see what came of it.

import { change, get } from "./api.js";
import { byId, duration, el, percent, plural, shownName, sure, toast } from "./dom.js";
import { shown } from "./live.js";

const COLLECT_MS = 280;
const FOLLOW_MS = 700;
const ENOUGH = 12; // pictures of a class from which the hint stops asking for more

let possible = true;
let inbox = { classes: [], seconds: 0 };
let learning = { state: "idle" };
let held = false;
let following = false;
let dismissed = false;

const typed = () => byId("name").value.trim();

export function startTeaching() {
  const shutter = byId("shutter");
  shutter.addEventListener("pointerdown", (event) => {
    if (shutter.disabled || event.button !== 0) return;
    shutter.setPointerCapture(event.pointerId);
    hold();
  });
  for (const name of ["pointerup", "pointercancel", "lostpointercapture", "blur"]) shutter.addEventListener(name, release);
  shutter.addEventListener("keydown", (event) => {
    if ((event.key === " " || event.key === "Enter") && !event.repeat) { event.preventDefault(); hold(); }
  });
  shutter.addEventListener("keyup", release);
  shutter.addEventListener("contextmenu", (event) => event.preventDefault());
  byId("name").addEventListener("input", () => { say(""); named(); });
  byId("name").addEventListener("keydown", (event) => { if (event.key === "Enter") event.target.blur(); });
  byId("upload").addEventListener("change", upload);
  byId("bundle").addEventListener("change", applyBundle);
  document.addEventListener("inbox", refreshInbox);
  document.addEventListener("visibilitychange", release);
}

export function teachPossible(teach) {
  possible = teach.possible;
  byId("no-teach").hidden = possible;
  byId("collect").hidden = !possible;
  if (!possible) byId("no-teach").replaceChildren(el("h2", {}, "This camera cannot learn by itself"), el("p", { className: "hint" }, teach.reason));
}

export function offerNames(names) {
  const list = byId("known");
  if (list.childElementCount !== names.length) list.replaceChildren(...names.map((name) => el("option", { value: name })));
}

function named() {
  byId("shutter").disabled = byId("upload").disabled = !typed();
  const wanted = typed().toLowerCase();
  const waiting = inbox.classes.find((each) => each.name.toLowerCase() === wanted);
  byId("count").textContent = waiting ? waiting.pictures.length : 0;
}

async function hold() {
  if (held || !typed()) return;
  held = true;
  byId("shutter").classList.add("held");
  let last = -1;
  while (held) {
    const began = performance.now();
    if (shown.index !== last && shown.index >= 0) {
      last = shown.index;
      if (!(await collect(last))) break;
    }
    await new Promise((resolve) => { setTimeout(resolve, Math.max(20, COLLECT_MS - (performance.now() - began))); });
  }
  release();
  await refreshInbox();
}

function release() {
  held = false;
  byId("shutter").classList.remove("held");
}

/** Keep one frame; returns whether it is worth going on. */
async function collect(index) {
  try {
    tell(await change("POST", `/api/inbox/${encodeURIComponent(typed())}/frames`, { camera: shown.camera, index }));
    return true;
  } catch (problem) {
    if (problem.status === 409) return true; // that frame is too old by now; the next one is not
    say(problem.message, "bad");
    return false;
  }
}

function tell(kept) {
  byId("count").textContent = kept.pictures;
  if (!kept.kept) return say(`Left out: ${kept.reason}.`, "bad");
  const flash = byId("flash");
  flash.classList.add("kept");
  setTimeout(() => flash.classList.remove("kept"), 120);
  const few = ENOUGH - kept.pictures;
  return say(few > 0 ? `Sharp, kept. ${few} more would be good, from other sides.` : "Sharp, kept. That is enough to learn from; more do no harm.", "good");
}

function say(text, kind = "") {
  const box = byId("verdict");
  box.textContent = text;
  box.className = `verdict ${kind}`;
}

async function upload(event) {
  const files = [...event.target.files];
  event.target.value = "";
  for (const file of files) {
    try {
      tell(await change("POST", `/api/inbox/${encodeURIComponent(typed())}/pictures`, file));
    } catch (problem) {
      say(`${file.name}: ${problem.message}`, "bad");
    }
  }
  await refreshInbox();
}

export async function refreshInbox() {
  inbox = await get("/api/inbox");
  drawInbox();
}

function drawInbox() {
  const box = byId("inbox");
  named();
  box.replaceChildren(...inbox.classes.map(classCard));
  if (possible && inbox.classes.length && learning.state !== "running") box.append(startCard());
}

function classCard({ name, known, pictures }) {
  const path = `/api/inbox/${encodeURIComponent(name)}`;
  const removeAll = async () => {
    if (await sure(`Remove ${plural(pictures.length, "picture")}?`, `Nothing of “${shownName(name)}” will wait to be learned.`, "Remove")) remove(path);
  };
  return el("div", { className: "card" },
    el("div", { className: "row" },
      el("h2", { className: "grow" }, shownName(name)),
      el("span", { className: known ? "chip plain" : "chip" }, known ? "more of it" : "new"),
      el("span", { className: "soft number" }, plural(pictures.length, "picture"))),
    el("div", { className: "thumbs" }, pictures.toReversed().map((hash) => el("div", { className: "thumb" },
      el("img", { src: `${path}/pictures/${hash}`, alt: `a picture of ${shownName(name)}`, loading: "lazy" }),
      el("button", { "aria-label": "Remove this picture", click: () => remove(`${path}/pictures/${hash}`) }, el("span", {}, "×"))))),
    el("div", { className: "row end" }, el("button", { className: "quiet danger", click: removeAll }, "Remove all")));
}

async function remove(path) {
  try {
    inbox = await change("DELETE", path);
    drawInbox();
  } catch (problem) {
    toast(problem.message);
  }
}

function startCard() {
  const count = inbox.classes.reduce((sum, each) => sum + each.pictures.length, 0);
  const few = inbox.classes.filter((each) => !each.known && each.pictures.length < 4).map((each) => `“${each.name}”`);
  const stage = el("input", { type: "checkbox", id: "stage" });
  return el("div", { className: "card stack" },
    el("div", {}, el("h2", {}, "Learn it"),
      el("p", { className: "hint" }, `${plural(count, "picture")} of ${plural(inbox.classes.length, "class", "classes")}, about ${duration(inbox.seconds)}. The camera goes on answering meanwhile.`)),
    few.length ? el("p", { className: "alarm" }, `Few pictures of ${few.join(", ")}: a dozen from different sides serve much better.`) : null,
    el("label", { className: "check" }, stage, "Let me look at the result before it serves"),
    el("button", { id: "learn", className: "primary", click: () => start(stage.checked) }, "Start learning"));
}

const start = (stage) => begin("/api/learning", { stage });

function applyBundle(event) {
  const [file] = event.target.files;
  event.target.value = "";
  if (file) begin("/api/bundles", new Blob([file], { type: "application/octet-stream" }));
}

async function begin(path, body) {
  try {
    learning = await change("POST", path, body);
    dismissed = false;
    say("");
    await refreshInbox();
    drawLearning();
    byId("learning").scrollIntoView({ block: "center" });
    follow();
  } catch (problem) {
    toast(problem.message);
  }
}

/** Watch a learn that goes on, until it ends. */
export async function follow() {
  if (following) return;
  following = true;
  try {
    do {
      learning = await get("/api/learning");
      drawLearning();
      if (learning.state === "running") await new Promise((resolve) => { setTimeout(resolve, FOLLOW_MS); });
    } while (learning.state === "running");
    await refreshInbox();
  } catch { /* the app is away for a moment; the next status begins anew */ } finally {
    following = false;
  }
}

function drawLearning() {
  const box = byId("learning");
  if (learning.state === "idle" || (dismissed && learning.state !== "running")) return box.replaceChildren();
  if (learning.state === "running") return drawProgress(box, learning.progress);
  return box.replaceChildren(learning.result ? resultCard(learning) : endCard(learning));
}

function drawProgress(box, { what, stage, part, seconds_left: left, pictures }) {
  const title = what === "bundle" ? "Applying a bundle" : `Learning ${plural(pictures, "picture")}`;
  if (!byId("progress")) {
    box.replaceChildren(el("div", { className: "card stack" },
      el("div", { className: "row" }, el("h2", { className: "grow" }, title), el("span", { id: "progress-left", className: "soft number" })),
      el("progress", { id: "progress", max: 1, value: 0 }),
      el("div", { className: "row" }, el("span", { id: "progress-stage", className: "grow soft" }),
        el("button", { className: "quiet", click: stop }, "Stop"))));
  }
  if (what === "bundle") byId("progress").removeAttribute("value"); // it does not tell how far it is
  else byId("progress").value = part;
  byId("progress-stage").textContent = stage;
  byId("progress-left").textContent = what === "bundle" ? "" : `about ${duration(left)} left`;
}

async function stop() {
  if (await sure("Stop learning?", "The pictures stay here, and nothing changes in what the camera knows.", "Stop learning")) {
    await change("DELETE", "/api/learning").catch((problem) => toast(problem.message));
  }
}

const dismiss = () => { dismissed = true; drawLearning(); };

function endCard({ state, problem }) {
  return el("div", { className: "card stack" },
    el("h2", {}, state === "stopped" ? "Stopped" : "It did not work"),
    el("p", {}, state === "stopped" ? "The pictures are still here." : problem),
    el("div", { className: "row end" }, el("button", { click: dismiss }, "All right")));
}

function resultCard({ state, result, problem }) {
  const taught = [...result.classes_added, ...result.classes_extended].map(shownName).join(", ");
  const title = { done: result.applied === false ? "It knew all of that already" : `It learned ${taught}`, staged: `Version ${result.version} waits for you`, refused: `Version ${result.version} is not served` }[state];
  const buttons = state === "done"
    ? [el("button", { className: "danger", id: "take-back", click: () => moved(`Version ${result.parent} answers again.`, "/api/rollback", { version: result.parent }) }, `Roll back to version ${result.parent}`)]
    : [el("button", { className: state === "refused" ? "danger" : "primary", click: () => moved(`Version ${result.version} answers.`, `/api/versions/${result.version}/promote`) }, state === "refused" ? "Serve it all the same" : "Serve it")];
  return el("div", { className: "card stack", id: "result" },
    el("div", {}, el("h2", {}, title), el("p", { className: "hint" }, summary(state, result))),
    state === "refused" ? el("p", { className: "alarm" }, problem) : null,
    result.warnings?.map((text) => el("p", { className: "alarm" }, text)),
    result.rejected?.length ? el("p", { className: "soft small" }, `${plural(result.rejected.length, "picture")} left out: ${[...new Set(result.rejected.map((each) => each.reason))].join("; ")}.`) : null,
    comparison(result.classes),
    el("div", { className: "row end" }, buttons, el("button", { className: "quiet", click: dismiss }, "Close")));
}

function summary(state, result) {
  const before = result.accuracy.holdout_before;
  const after = result.accuracy.holdout_after;
  const old = before === null ? "There were no old classes to check." : `Old classes: ${percent(before)} right before, ${percent(after)} now.`;
  const serves = `Learned in ${duration(result.seconds)}${state === "done" ? `; version ${result.version} serves` : ""}.`;
  return `${serves} ${old} Checked on pictures that it never trained on:`;
}

/** Each class before and after, what changed most first. */
export function comparison(classes) {
  const rows = Object.entries(classes ?? {}).filter(([, each]) => each.pictures > 0);
  if (!rows.length) return el("p", { className: "soft" }, "There were too few pictures to check single classes.");
  const shift = ([, each]) => (each.before === null ? 2 : Math.abs(each.after - each.before) / each.pictures);
  rows.sort((a, b) => shift(b) - shift(a) || a[0].localeCompare(b[0]));
  return el("div", { className: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", {}, "class"), el("th", {}, "before"), el("th", {}, "after"))),
    el("tbody", {}, rows.map(([name, { pictures, before, after }]) => el("tr", { className: before === null ? "new" : "" },
      el("td", {}, shownName(name)),
      el("td", {}, before === null ? "–" : `${before} of ${pictures}`),
      el("td", { className: before !== null && after < before ? "down" : before === null || after > before ? "up" : "" }, `${after} of ${pictures}`))))));
}

async function moved(said, path, body) {
  try {
    await change("POST", path, body);
    toast(said);
    dismiss();
    document.dispatchEvent(new CustomEvent("versions"));
  } catch (problem) {
    toast(problem.message);
  }
}
