// Parts of pages: times in the zone of the browser, and buttons that copy. `prepare` is called for each new part too.

const SECOND = 1000;
const UNITS = [
  ["day", 86400 * SECOND],
  ["hour", 3600 * SECOND],
  ["minute", 60 * SECOND],
  ["second", SECOND],
];
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });

export function prepare(root) {
  for (const element of root.querySelectorAll("time[datetime]")) showTime(element);
  for (const button of root.querySelectorAll("[data-copy]")) button.hidden = false;
  requestAnimationFrame(() => root.querySelectorAll(".table, pre").forEach(makeReachable));
}

// What scrolls can be reached by the keyboard.
function makeReachable(element) {
  if (element.scrollWidth > element.clientWidth || element.scrollHeight > element.clientHeight) element.tabIndex = 0;
}

function showTime(element) {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  element.title = `${at.toISOString().replace("T", " ").replace("Z", "")} UTC`;
  element.textContent = "relative" in element.dataset ? `${formatTime(at)} (${formatDistance(at)})` : formatTime(at);
}

function formatTime(at) {
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map((part) => String(part).padStart(2, "0")).join(":");
  const today = new Date();
  if (at.toDateString() === today.toDateString()) return time;
  const day = `${String(at.getDate()).padStart(2, "0")} ${at.toLocaleString("en", { month: "short" })}`;
  return at.getFullYear() === today.getFullYear() ? `${day} ${time}` : `${day} ${at.getFullYear()} ${time}`;
}

function formatDistance(at) {
  const distance = at - Date.now();
  const [unit, size] = UNITS.find(([, each]) => Math.abs(distance) >= each) ?? UNITS.at(-1);
  return relative.format(Math.round(distance / size), unit);
}

export function start() {
  prepare(document);
  setInterval(() => {
    for (const element of document.querySelectorAll("time[data-relative]")) showTime(element);
  }, 15 * SECOND);
  document.addEventListener("click", copy);
}

async function copy(event) {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = button.dataset.copy || button.parentElement.querySelector("pre, code").textContent;
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select it and copy"; // pages over plain HTTP on other machines have no clipboard
  }
  setTimeout(() => (button.textContent = label), 1500);
}
