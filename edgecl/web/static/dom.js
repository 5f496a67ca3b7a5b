// Building the page without markup in strings: whatever comes from the camera, such as a class's name, is only ever text.

export const byId = (id) => document.getElementById(id);

/** An element with properties (functions become listeners) and children (texts or elements; null is left out). */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (name === "className" || name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An SVG element with attributes. */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export const percent = (part) => `${Math.round(part * 100)} %`;

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  return seconds < 172800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86400)} days`;
}

export function bytes(count) {
  if (count >= 1e9) return `${(count / 2 ** 30).toFixed(1)} GiB`;
  return count >= 1e6 ? `${(count / 2 ** 20).toFixed(0)} MiB` : `${(count / 1024).toFixed(0)} KiB`;
}

export const plural = (count, word, more = `${word}s`) => `${count} ${count === 1 ? word : more}`;

let toastTimer = 0;

/** A sentence that goes away by itself. */
export function toast(text) {
  const box = byId("toast");
  box.textContent = text;
  box.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { box.hidden = true; }, 4500);
}

/** Ask before something that one may not want; resolves to whether the person does. */
export function sure(title, text, yes) {
  const dialog = byId("ask");
  byId("ask-title").textContent = title;
  byId("ask-text").textContent = text;
  byId("ask-yes").textContent = yes;
  return new Promise((resolve) => {
    byId("ask-yes").onclick = () => dialog.close("yes");
    byId("ask-no").onclick = () => dialog.close("no");
    dialog.onclose = () => resolve(dialog.returnValue === "yes");
    dialog.returnValue = "no";
    dialog.showModal();
  });
}

/** A name for nothing that a person understands. */
export const shownName = (name) => (name === "_background" ? "nothing (background)" : name);
