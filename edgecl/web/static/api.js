// Talking to the app: the session, the value that proves that this page sends a change, and problems as sentences.

import { byId } from "./dom.js";

export let session = { may_change: false, csrf: "", private: false, token_exists: false, session: false };
let sessionChanged = () => {};
export const onSession = (callback) => { sessionChanged = callback; };

export class Problem extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function asked(path, options) {
  const response = await fetch(path, { cache: "no-store", ...options });
  if (response.ok) return response;
  let text = `the app answered ${response.status}`;
  try {
    text = (await response.json()).problem ?? text;
  } catch { /* a proxy's page, for example */ }
  throw new Problem(response.status, text);
}

export const get = async (path) => (await asked(path)).json();
export const getRaw = (path, signal) => asked(path, { signal });

export async function refreshSession() {
  session = await get("/api/session");
  sessionChanged(session);
}

/** Send a change. Where the app wants the token first, ask for it, then send again. */
export async function change(method, path, body) {
  if (!session.may_change) await logIn();
  try {
    return await send(method, path, body);
  } catch (problem) {
    if (problem.status !== 401 && problem.status !== 403) throw problem;
    await refreshSession(); // the app was started again, so the session or its proof is void
    if (!session.may_change) await logIn();
    return send(method, path, body);
  }
}

async function send(method, path, body) {
  const picture = body instanceof Blob;
  const headers = { "X-CSRF-Token": session.csrf };
  if (body !== undefined) headers["Content-Type"] = picture ? body.type : "application/json";
  const response = await asked(path, { method, headers, body: picture || body === undefined ? body : JSON.stringify(body) });
  return response.json();
}

async function useToken(token) {
  session = await send("POST", "/api/session", { token });
  sessionChanged(session);
}

/** A link with #token=... unlocks by itself, and leaves no trace in the address bar. */
export async function logInFromLink() {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return;
  history.replaceState(null, "", location.pathname);
  await useToken(token);
}

export async function logOut() {
  await send("DELETE", "/api/session");
  await refreshSession();
}

/** Ask for the token until it fits; gives up with a Problem when the person cancels. */
export function logIn() {
  const dialog = byId("login");
  const field = byId("token");
  const said = byId("login-problem");
  field.value = said.textContent = "";
  return new Promise((resolve, reject) => {
    let unlocked = false;
    byId("login-go").onclick = async () => {
      try {
        await useToken(field.value.trim());
        unlocked = true;
        dialog.close();
      } catch (problem) {
        said.textContent = problem.message;
      }
    };
    field.onkeydown = (event) => { if (event.key === "Enter") byId("login-go").click(); };
    byId("login-cancel").onclick = () => dialog.close();
    dialog.onclose = () => (unlocked ? resolve() : reject(new Problem(401, "Nothing was changed.")));
    dialog.showModal();
  });
}
