// What the cameras showed in the last two days, by the hour: how much was unknown, how sure it was, which classes.

import { get } from "./api.js";
import { byId, el, percent, plural, shownName, svg } from "./dom.js";
import { bar } from "./live.js";

const HOURS = 48;
const MIX = 8; // classes that are listed; the rest is summed up

export async function drawHealth(status) {
  const { hours } = await get("/api/drift");
  byId("health").replaceChildren(...status.cameras.map((camera) => card(camera, hours.filter((hour) => hour.camera === camera.name))));
}

function card(camera, hours) {
  const answers = hours.reduce((sum, hour) => sum + hour.answers, 0);
  const unknown = hours.reduce((sum, hour) => sum + hour.unknown, 0);
  const score = hours.reduce((sum, hour) => sum + hour.mean_score * hour.answers, 0);
  const state = { running: "", waiting: "bad", ended: "plain" }[camera.state];
  return el("div", { className: "card stack" },
    el("div", { className: "row" }, el("h2", { className: "grow what" }, camera.name), el("span", { className: `chip ${state}` }, camera.state)),
    camera.alarms.map((text) => el("p", { className: "alarm" }, text)),
    answers ? figures(answers, unknown, score, camera) : el("p", { className: "soft" }, "No answers yet."),
    answers ? chart(hours) : null,
    answers ? el("div", { className: "ends" }, el("span", {}, "two days ago"), el("span", {}, "now")) : null,
    answers ? el("p", { className: "legend" }, key("answers", "answers"), key("unknown", "of these unknown"), key("score-line", "mean score")) : null,
    answers ? mix(hours) : null,
    camera.last_fault ? el("p", { className: "soft small" }, `Last fault: ${camera.last_fault} (opened again ${plural(camera.reconnects, "time")}).`) : null);
}

const key = (name, text) => el("span", {}, el("i", { className: name }), text);

function figures(answers, unknown, score, camera) {
  const looks = camera.looks;
  const tile = (value, text) => el("div", { className: "tile" }, el("b", {}, value), el("span", {}, text));
  return el("div", { className: "tiles" },
    tile(percent(unknown / answers), "unknown"),
    tile(percent(score / answers), "mean score"),
    looks ? tile(percent(looks.brightness / 255), "brightness of the picture") : null,
    looks ? tile(looks.sharpness.toFixed(1), "sharpness (below 2: blurred)") : null);
}

/** A bar per hour of the last two days, the unknown part of it, and the mean score as a line. */
function chart(hours) {
  const most = Math.max(...hours.map((hour) => hour.answers));
  const drawing = svg("svg", { class: "chart", viewBox: `0 0 ${HOURS * 10} 100`, preserveAspectRatio: "none", role: "img" });
  drawing.append(svg("title", {}, "Answers by the hour, the newest on the right"), svg("line", { class: "axis", x1: 0, x2: HOURS * 10, y1: 99.5, y2: 99.5 }));
  const points = [];
  for (const hour of hours) {
    const x = (HOURS - 1 - hour.hours_ago) * 10;
    if (x < 0) continue;
    const height = (hour.answers / most) * 96;
    const part = height * hour.unknown_rate;
    drawing.append(svg("rect", { class: "answers", x: x + 1, y: 99 - height, width: 8, height }));
    drawing.append(svg("rect", { class: "unknown", x: x + 1, y: 99 - part, width: 8, height: part }));
    points.push(`${x + 5},${(99 - hour.mean_score * 96).toFixed(1)}`);
  }
  drawing.append(svg("polyline", { class: "score-line", points: points.join(" ") }));
  return drawing;
}

function mix(hours) {
  const counts = new Map();
  for (const hour of hours) for (const [name, count] of Object.entries(hour.classes)) counts.set(name, (counts.get(name) ?? 0) + count);
  const rows = [...counts].sort((a, b) => b[1] - a[1]);
  const total = rows.reduce((sum, [, count]) => sum + count, 0);
  if (!total) return null;
  const rest = rows.slice(MIX).reduce((sum, [, count]) => sum + count, 0);
  return el("div", {}, el("h3", {}, "What it saw"), el("ol", { className: "bars" },
    rows.slice(0, MIX).map(([name, count]) => bar(shownName(name), count / total)),
    rest ? bar(`${plural(rows.length - MIX, "other class", "other classes")}`, rest / total) : null));
}
