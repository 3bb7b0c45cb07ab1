// What every page has: light or dark, times in the reader's zone, the store's banner.

const root = document.body.dataset.root;
const SUGGESTED = 500;

/** Addresses under the server's prefix; values of arrays are repeated. */
export function address(path, query = {}) {
  const given = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") given.append(name, one);
    }
  }
  const text = given.toString();
  return root + path + (text ? `?${text}` : "");
}

/** JSON of the API; an error carries the server's own words. */
export async function api(path, query = {}, options = {}) {
  const answer = await fetch(address(`/api/v1${path}`, query), options);
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(body.detail || `The server answers ${answer.status}.`);
  return body;
}

/** The line above the page: what is wrong with the store, or nothing. */
export function banner(text) {
  const line = document.getElementById("banner");
  line.textContent = text || "";
  line.hidden = !text;
}

/** An element with properties and children; texts are never markup. */
export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// Made once: a hundred times would take as long as all else that a page does at first.
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** Times in the reader's zone. */
export function localTimes(within) {
  for (const one of within.querySelectorAll("time[datetime]:not([data-local])")) {
    const when = new Date(one.dateTime);
    if (!Number.isNaN(when.valueOf())) {
      one.title = one.dateTime;
      one.textContent = moments.format(when);
      one.dataset.local = "";
    }
  }
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  document.dispatchEvent(new CustomEvent("theme"));
}

setTheme(localStorage.getItem("theme"));
document.getElementById("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
  const theme = dark ? "light" : "dark";
  localStorage.setItem("theme", theme);
  setTheme(theme);
});
localTimes(document);
document.addEventListener("htmx:load", (event) => localTimes(event.target));
document.addEventListener("htmx:responseError", (event) => {
  // Pages of ours, whose texts are escaped; a piece shows by itself what is wrong with it.
  const own = event.detail.target, target = own.matches("[data-piece]") ? own : document.querySelector("#problem");
  if (target) target.innerHTML = event.detail.xhr.responseText;
});
document.addEventListener("htmx:afterRequest", (event) => {
  if (event.detail.successful) document.querySelector("#problem")?.replaceChildren();
});
document.addEventListener("focusin", async ({ target }) => {
  // What can be suggested is asked for when somebody is about to write.
  const list = target.list, from = list?.dataset.from;
  if (!from) return;
  delete list.dataset.from;
  try {
    const names = await api(from);
    list.replaceChildren(...names.slice(0, SUGGESTED).map((value) => element("option", { value })));
  } catch (error) {
    list.dataset.from = from;
    banner(error.message);
  }
});
document.addEventListener("htmx:sendError", () => banner("The server does not answer."));
