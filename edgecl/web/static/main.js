// The page's heart: which part is shown, what is asked for and when, and whether the app is there at all.

import { logIn, logInFromLink, logOut, onSession, refreshSession } from "./api.js";
import { byId, toast } from "./dom.js";
import { drawHealth } from "./health.js";
import { drawHistory } from "./history.js";
import { getStatus, showStatus, startFrames } from "./live.js";
import { follow, offerNames, refreshInbox, startTeaching, teachPossible } from "./teach.js";

const STATUS_MS = 1000;
const SLOW_MS = 4000; // history and health

let status = null;
let slowAt = 0;

function pulse(there, problem) {
  const dot = byId("pulse");
  dot.className = `pulse ${there ? "on" : "off"}`;
  dot.setAttribute("aria-label", there ? "connected" : "not connected");
  const notice = byId("notice");
  notice.hidden = there && !problem;
  if (!there) notice.textContent = "The app does not answer. This page tries again by itself.";
  else if (problem) notice.textContent = problem.message;
}

function open(tab) {
  byId("main").dataset.tab = tab;
  for (const button of document.querySelectorAll("nav button")) {
    if (button.dataset.tab === tab) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  slowAt = 0;
  window.scrollTo(0, 0);
  if (tab === "teach") refreshInbox().catch((problem) => toast(problem.message));
  tick();
}

async function tick() {
  if (document.hidden) return;
  try {
    const before = status?.version;
    status = await getStatus();
    showStatus(status);
    teachPossible(status.teach);
    offerNames(status.classes);
    if (status.learning === "running") follow();
    if (before !== undefined && before !== status.version) toast(`Version ${status.version} answers now.`);
    const tab = byId("main").dataset.tab;
    if (performance.now() - slowAt > SLOW_MS || (before !== status.version)) {
      slowAt = performance.now();
      if (tab === "health") await drawHealth(status);
      if (tab === "history" && !document.querySelector("#history details[open]")) await drawHistory();
    }
    pulse(true);
  } catch (problem) {
    pulse(problem.status !== undefined, problem);
    if (problem.status === 401) byId("door").hidden = false;
  }
}

function showDoor(session) {
  const door = byId("door");
  door.hidden = session.may_change && !session.session;
  door.textContent = session.session ? "Lock" : "Unlock";
  door.onclick = () => (session.session ? logOut() : logIn()).catch((problem) => toast(problem.message));
}

async function begin() {
  onSession(showDoor);
  for (const button of document.querySelectorAll("nav button")) button.addEventListener("click", () => open(button.dataset.tab));
  document.addEventListener("versions", () => { slowAt = 0; tick(); });
  startTeaching();
  await logInFromLink().catch((problem) => toast(problem.message));
  await refreshSession().catch(() => {});
  startFrames(pulse);
  follow();
  await tick();
  setInterval(tick, STATUS_MS);
}

begin();
