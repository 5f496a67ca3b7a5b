// The live picture and its answer, always of one and the same frame; what is wrong with the camera; corrections.

import { change, get, getRaw } from "./api.js";
import { byId, duration, bytes, el, percent, shownName, toast } from "./dom.js";

const FRAME_MS = 66; // at most 15 pictures a second: it is for looking, not for measuring
const CHOICES_MS = 1500; // so that a choice does not move away under a thumb
const CHOICES = 4;

/** What is on the screen: the camera's number, the frame's index and its answer. */
export const shown = { camera: 0, index: -1, answer: null };

let known = [];
let choicesAt = -CHOICES_MS;
let offered = "";
let choosing = false;

export function startFrames(onPulse) {
  loop(onPulse);
  byId("something-else").addEventListener("click", chooseClass);
  byId("cameras").addEventListener("change", (event) => {
    shown.camera = Number(event.target.value);
    shown.index = -1;
    byId("answer").hidden = true;
  });
}

async function loop(onPulse) {
  for (;;) {
    const began = performance.now();
    if (document.hidden || choosing) {
      await pause(200);
      continue;
    }
    try {
      const camera = shown.camera;
      const response = await getRaw(`/api/cameras/${camera}/frame?after=${shown.index}`);
      onPulse(true);
      if (response.status === 200) {
        const answer = JSON.parse(response.headers.get("X-Edgecl-Answer"));
        await show(await response.blob(), answer);
        if (camera === shown.camera && !choosing) Object.assign(shown, { index: answer.index, answer });
      }
    } catch (problem) {
      onPulse(problem.status !== undefined, problem);
      await pause(1000);
    }
    await pause(FRAME_MS - (performance.now() - began));
  }
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, Math.max(0, ms)); });

async function show(blob, answer) {
  const image = byId("frame");
  const before = image.src;
  image.src = URL.createObjectURL(blob);
  await image.decode().catch(() => {});
  if (before) URL.revokeObjectURL(before);
  if (image.naturalWidth) image.parentElement.style.aspectRatio = `${image.naturalWidth} / ${image.naturalHeight}`;
  byId("no-frame").hidden = true;
  showAnswer(answer);
}

function showAnswer(answer) {
  const box = byId("answer");
  box.hidden = false;
  box.classList.toggle("unsure", !answer.announced);
  byId("label").textContent = words(answer);
  byId("score").textContent = answer.label ? percent(answer.score) : "";
  byId("top").replaceChildren(...answer.top.map(([name, score]) => bar(shownName(name), score)));
  if (!answer.top.length) byId("top").append(el("li", { className: "soft" }, "It knows no class yet. Open Teach and show it something."));
  const now = performance.now();
  if (now - choicesAt > CHOICES_MS) {
    choicesAt = now;
    offer(answer);
  }
}

export function words(answer) {
  if (!answer.label) return "knows nothing yet";
  if (answer.unknown) return `unknown, most like ${shownName(answer.label)}`;
  return answer.announced ? answer.label : "nothing";
}

export function bar(name, part, right = percent(part)) {
  const fill = el("div", { className: "fill" });
  fill.style.width = `${Math.max(0, Math.min(1, part)) * 100}%`;
  return el("li", {}, el("span", { className: "name" }, name), el("span", { className: "number" }, right), el("div", { className: "track" }, fill));
}

function offer(answer) {
  byId("correct").hidden = !answer.label;
  const others = answer.top.map(([name]) => name).filter((name) => answer.unknown || name !== answer.label).slice(0, CHOICES);
  const box = byId("choices");
  const names = JSON.stringify(others);
  if (names === offered || box.matches(":active, :has(:focus-visible)")) return; // a button exchanged between press and release hears no click
  offered = names;
  box.replaceChildren(...others.map((name) => el("button", { click: () => correct(name) }, shownName(name))));
}

/** Send the frame that was on the screen at the tap to the next task of a class. */
async function correct(name, at = { ...shown }) {
  try {
    const kept = await change("POST", `/api/inbox/${encodeURIComponent(name)}/frames`, { camera: at.camera, index: at.index, correction: true });
    toast(kept.kept
      ? `Kept for “${shownName(kept.class)}”: ${kept.pictures} waiting. Learn them under Teach.`
      : `Not kept: ${kept.reason}.`);
    document.dispatchEvent(new CustomEvent("inbox"));
  } catch (problem) {
    toast(problem.message);
  }
}

function chooseClass() {
  const at = { ...shown };
  const dialog = byId("classes");
  const field = byId("class-filter");
  choosing = true; // the picture stands still while one looks for its name
  field.value = "";
  const list = () => {
    const wanted = field.value.trim();
    const fits = known.filter((name) => shownName(name).toLowerCase().includes(wanted.toLowerCase()));
    if (!known.includes("_background") && !wanted) fits.push("_background");
    const fresh = wanted && !known.some((name) => name.toLowerCase() === wanted.toLowerCase());
    byId("class-list").replaceChildren(
      ...(fresh ? [el("button", { className: "primary", click: () => pick(wanted) }, `New: ${wanted}`)] : []),
      ...fits.map((name) => el("button", { click: () => pick(name) }, shownName(name))),
    );
  };
  const pick = (name) => { dialog.close(); correct(name, at); };
  field.oninput = list;
  byId("class-cancel").onclick = () => dialog.close();
  dialog.onclose = () => { choosing = false; };
  list();
  dialog.showModal();
}

/** Everything beside the picture, once a second. */
export function showStatus(status) {
  known = status.classes;
  const camera = status.cameras[shown.camera];
  byId("serving").textContent = `version ${status.version}`;
  showCameras(status.cameras);
  byId("alarms").replaceChildren(...alarms(status, camera).map((text) => el("p", { className: "alarm" }, text)));
  const empty = byId("no-frame");
  if (camera.state === "waiting") empty.textContent = camera.last_fault ?? "Waiting for the camera …";
  byId("tiles").replaceChildren(...tiles(status, camera));
}

function showCameras(cameras) {
  const select = byId("cameras");
  select.hidden = cameras.length < 2;
  if (select.childElementCount === cameras.length) return;
  select.replaceChildren(...cameras.map((each) => el("option", { value: String(each.number) }, each.name)));
}

function alarms(status, camera) {
  const found = [...camera.alarms];
  if (camera.state === "waiting" && camera.frames > 0) found.unshift(`The camera is gone; the app tries to reach it. ${camera.last_fault ?? ""}`);
  if (camera.state === "ended") found.unshift("The film is over; this is its last picture.");
  if (status.last_swap_fault) found.push(`The newest version is not served: ${status.last_swap_fault}`);
  return found;
}

function tile(value, text) {
  return el("div", { className: "tile" }, el("b", {}, value), el("span", {}, text));
}

function tiles(status, camera) {
  const board = status.board;
  const ms = (value) => (value === null ? "–" : `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`);
  const used = board.memory_total_bytes - board.memory_available_bytes;
  return [
    tile(ms(status.latency_p50_ms), `an answer; the slowest in 20: ${ms(status.latency_p95_ms)}`),
    tile(camera.fps.toFixed(1), "answers per second"),
    tile(board.temperature_c === null ? "–" : `${Math.round(board.temperature_c)} °C`, board.temperature_c === null ? "no sensor found" : "hottest part"),
    tile(board.memory_total_bytes ? percent(used / board.memory_total_bytes) : "–", board.process_bytes ? `memory used; this app ${bytes(board.process_bytes)}` : "memory used"),
    tile(duration(status.uptime_s), `running, ${status.frames.toLocaleString("en")} answers`),
    tile(board.disk_free_bytes ? bytes(board.disk_free_bytes) : "–", "free on the disk"),
  ];
}

export const getStatus = () => get("/api/status");
