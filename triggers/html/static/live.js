// Live updates: the server sends the parts of the page that have changed, and they are put in place.
//
// Browsers open six connections to a host at most, so at most four tabs hold a stream (a seat, as a Web Lock), and none
// that is hidden. A tab without a seat loads its page again every five seconds, and asks for a seat each time.

import { prepare } from "./parts.js";

const SEATS = 4;
const POLL = 5000;
const state = document.getElementById("live-state");
const address = new URL(document.body.dataset.stream ?? "/", location.href);
const known = new Map((address.searchParams.get("known") ?? "").split(",").filter(Boolean).map((each) => each.split(":")));
const held = new Map();
let source = null;
let release = null;
let timer = null;

export function start() {
  if (!document.body.dataset.stream) return;
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : open()));
  document.addEventListener("focusout", () => setTimeout(showHeld));
  document.addEventListener("change", () => setTimeout(showHeld));
  document.addEventListener("selectionchange", showHeld);
  document.addEventListener("toggle", showHeld, true);
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => event.persisted && open());
  if (!document.hidden) open();
}

async function open() {
  stop();
  const mine = (timer = Symbol("opening"));
  const seat = await takeSeat();
  if (timer !== mine) return seat?.();
  timer = null;
  if (!seat) return poll();
  release = seat;
  listen();
}

function stop() {
  source?.close();
  release?.();
  if (typeof timer === "number") clearTimeout(timer);
  source = release = timer = null;
}

// A function that gives the seat back; nothing if all are taken.
async function takeSeat() {
  if (!navigator.locks) return () => {};
  for (let seat = 1; seat <= SEATS; seat += 1) {
    const taken = await new Promise((resolve) => {
      navigator.locks.request(`waypost-stream-${seat}`, { ifAvailable: true }, (lock) => {
        if (!lock) return resolve(null);
        return new Promise((give) => resolve(give));
      });
    });
    if (taken) return taken;
  }
  return null;
}

function listen() {
  address.searchParams.set("known", [...known].map((each) => each.join(":")).join(","));
  source = new EventSource(address);
  source.addEventListener("open", () => say("live", "live"));
  source.addEventListener("swap", (event) => {
    const { id, hash, html } = JSON.parse(event.data);
    known.set(id, hash);
    swap(id, html);
  });
  source.addEventListener("bye", (event) => leave(JSON.parse(event.data).why));
  source.addEventListener("problem", () => retryLater());
  source.addEventListener("error", retryLater);
}

// The browser's own reconnection would send the hashes of the first request, and gives up after an error status.
function retryLater() {
  source?.close();
  say("lost", "reconnecting");
  timer = setTimeout(listen, 2000 + 2000 * Math.random());
}

function leave(why) {
  stop();
  if (why === "signed-out") return location.reload();
  say("lost", "Waypost was updated");
  const link = document.createElement("a");
  link.href = location.href;
  link.textContent = "reload";
  state.append(" ", link);
}

async function poll() {
  say("waiting", "every 5 s");
  timer = setTimeout(async () => {
    try {
      const answer = await fetch(address.searchParams.get("page"), { headers: { Accept: "text/html" } });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of known.keys()) {
        const found = page.getElementById(id);
        if (answer.ok && found && found.outerHTML !== held.get(id)) swap(id, found.outerHTML);
      }
    } catch {
      say("lost", "reconnecting");
    }
    if (!document.hidden) open();
  }, POLL);
}

function say(kind, text) {
  state.hidden = false;
  state.dataset.state = kind;
  if (state.textContent !== text) state.textContent = text;
}

// What a person works in is not replaced under their hands: it is held back until they have left it.
function isInUse(element) {
  const selection = getSelection();
  return (
    element.querySelector("input:focus, select:focus, textarea:focus, details.ask[open], dialog[open]") !== null ||
    (!selection.isCollapsed && element.contains(selection.anchorNode)) ||
    [...element.querySelectorAll("input, select, textarea")].some(isFilledIn)
  );
}

function isFilledIn(field) {
  if (field.type === "hidden") return false;
  if (field.type === "checkbox" || field.type === "radio") return field.checked !== field.defaultChecked;
  if (!field.options) return field.value !== field.defaultValue;
  return field.value !== ([...field.options].find((each) => each.defaultSelected) ?? field.options[0])?.value;
}

function swap(id, html) {
  const element = document.getElementById(id);
  if (!element) return;
  if (isInUse(element)) {
    held.set(id, html);
    element.dataset.held = "";
    return;
  }
  held.delete(id);
  const template = document.createElement("template");
  template.innerHTML = html;
  const fresh = template.content.firstElementChild;
  if (!fresh) return;
  const opened = new Set([...element.querySelectorAll("details[open]")].map(nameDetails));
  for (const details of fresh.querySelectorAll("details")) details.open ||= opened.has(nameDetails(details));
  prepare(fresh);
  const focused = element.contains(document.activeElement) ? nameControl(document.activeElement) : null;
  const chosen = element.querySelector("[data-row-chosen]")?.id;
  element.replaceWith(fresh);
  const row = chosen && document.getElementById(chosen);
  if (row) Object.assign(row, { tabIndex: -1 }).dataset.rowChosen = "";
  if (focused) [...fresh.querySelectorAll("*")].find((each) => nameControl(each) === focused)?.focus({ preventScroll: true });
  announce(fresh);
}

// What tells a link, a button or a row from the others, so that the focus stays where it is.
function nameControl(element) {
  return element.id || [element.tagName, element.getAttribute("href"), element.textContent.trim()].join(" ");
}

function nameDetails(details) {
  return details.id || details.querySelector("summary")?.textContent.trim();
}

function showHeld() {
  for (const [id, html] of held) {
    const element = document.getElementById(id);
    if (element && !isInUse(element)) swap(id, html);
  }
}

// A screen reader hears that the run has another status, and nothing of what ticks.
let spoken = document.querySelector("[data-speak]")?.dataset.speak;
function announce(element) {
  const text = (element.matches("[data-speak]") ? element : element.querySelector("[data-speak]"))?.dataset.speak;
  if (text === undefined || text === spoken) return;
  spoken = text;
  document.getElementById("spoken").textContent = text;
}
