// The versions: what each one changed, which one answers, and the way back and forth between them.

import { change, get } from "./api.js";
import { byId, el, percent, plural, shownName, sure, toast } from "./dom.js";
import { comparison } from "./teach.js";

export async function drawHistory() {
  const found = await get("/api/versions");
  const problem = found.report_problem ? [el("p", { className: "alarm" }, found.report_problem)] : [];
  byId("history").replaceChildren(...problem, ...found.versions.map((row) => card(row, found)));
}

function card(row, found) {
  if (row.problem) {
    return el("div", { className: "card version" }, el("h2", {}, `Version ${row.number}`), el("p", { className: "alarm" }, row.problem));
  }
  return el("div", { className: `card version${row.number === found.current ? " serving" : ""}`, id: `version-${row.number}` },
    el("div", { className: "row" },
      el("h2", { className: "grow" }, `Version ${row.number}`),
      row.states.filter((state) => state !== "dropped").map((state) => el("span", { className: `chip ${{ current: "", good: "", staged: "warn" }[state] ?? "plain"}` }, state)),
      row.number === found.served && row.number !== found.current ? el("span", { className: "chip" }, "answers") : null),
    el("p", { className: "what" }, what(row)),
    el("p", { className: "soft small" }, [figures(row), when(row.created)].filter(Boolean).join(" · ")),
    el("div", { className: "row" },
      row.number === found.current ? null : el("button", { click: () => serve(row, found) }, row.number < found.current ? "Roll back to it" : "Serve it"),
      reportLink(row, found)),
    row.operation === "learn" ? details(row.number) : null);
}

function what(row) {
  if (row.operation === "init") return "The beginning: the backbone as it came.";
  const parts = [];
  if (row.added.length) parts.push(`+ ${some(row.added)}`);
  if (row.removed.length) parts.push(`− ${some(row.removed)}`);
  parts.push(...row.renamed.map(([old, fresh]) => `${old} → ${fresh}`));
  return `${{ learn: "Learned", forget: "Forgot", rename: "Renamed", grow: "Made room" }[row.operation] ?? row.operation}: ${parts.join("  ") || row.task || "more of what it knew"}`;
}

const some = (names) => (names.length > 6 ? `${names.slice(0, 6).map(shownName).join(", ")} and ${plural(names.length - 6, "other")}` : names.map(shownName).join(", "));

function figures({ accuracy }) {
  const words = { validation: "new pictures", holdout_before: "old classes before", holdout_after: "after" };
  return Object.entries(words).filter(([name]) => typeof accuracy[name] === "number").map(([name, text]) => `${text} ${percent(accuracy[name])}`).join(", ");
}

function when(created) {
  const time = created ? new Date(created) : null;
  return time && !Number.isNaN(time.getTime()) ? time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" }) : "";
}

function details(number) {
  const box = el("div", {});
  const element = el("details", {}, el("summary", {}, "Each class before and after"), box);
  element.addEventListener("toggle", async () => {
    if (!element.open || box.childElementCount) return;
    try {
      box.append(comparison((await get(`/api/versions/${number}`)).checks.classes));
    } catch (problem) {
      toast(problem.message);
    }
  });
  return element;
}

function reportLink(row, found) {
  if (row.number === found.writing) return el("span", { className: "soft small" }, "The report is being written …");
  if (row.report) return el("a", { className: "button-link", href: `/report/${row.number}`, target: "_blank", rel: "noopener" }, "Report");
  return el("button", { className: "quiet", disabled: found.writing !== null, click: () => write(row.number) }, "Write a report");
}

async function write(number) {
  try {
    await change("POST", `/api/versions/${number}/report`);
    await drawHistory();
  } catch (problem) {
    toast(problem.message);
  }
}

async function serve(row, found) {
  const back = row.number < found.current;
  const text = row.states.includes("staged")
    ? "It never served: its check failed, or somebody wanted to look first."
    : `Version ${found.current} stays on the disk; you can return to it at any time.`;
  if (!(await sure(`${back ? "Roll back to" : "Serve"} version ${row.number}?`, text, back ? "Roll back" : "Serve it"))) return;
  try {
    await (back ? change("POST", "/api/rollback", { version: row.number }) : change("POST", `/api/versions/${row.number}/promote`));
    toast(`Version ${row.number} answers within a second.`);
    await drawHistory();
  } catch (problem) {
    toast(problem.message);
  }
}
