// Keys, outside of fields. Each does what a link or a button of the page does. They can be turned off in their help.

const PAGES = { h: "/", r: "/runs", w: "/waits", d: "/deliveries", p: "/pipelines", s: "/schedules", c: "/connections", q: "/queues" };
const OFF = "waypost.keys";
let waitsForPage = false;

const HELP = [
  ["/", "find"],
  ["g, then h r w d p s c q", "go to Home, Runs, Waits, Deliveries, Pipelines, Schedules, Connections, Queues"],
  ["j k", "the next row, the one before"],
  ["Enter", "open the row"],
  ["x", "choose the row"],
  ["f", "only what failed"],
  ["n N", "the next failed step, the one before"],
  ["[ ]", "the run before, the next run"],
  ["1 to 5", "the tabs"],
  ["y", "copy the address"],
  ["R C", "retry, cancel"],
  ["?", "this help"],
];

export function start() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isField(event.target)) return;
    const isOff = localStorage.getItem(OFF) === "off";
    if (event.key === "?") return act(event, showHelp);
    if (isOff) return;
    if (waitsForPage) {
      waitsForPage = false;
      if (event.key in PAGES) return act(event, () => location.assign(PAGES[event.key]));
    }
    const work = find(event.key);
    if (work) act(event, work);
  });
}

function act(event, work) {
  event.preventDefault();
  work();
}

function isField(element) {
  return element.closest("input:not([type=checkbox]), textarea, select, [contenteditable], dialog") !== null;
}

function find(key) {
  switch (key) {
    case "/": return () => document.querySelector(".find input").focus();
    case "g": return () => (waitsForPage = true);
    case "j": return () => move(1);
    case "k": return () => move(-1);
    case "Enter": return row() && document.activeElement === row() ? () => row().querySelector("a[href]")?.click() : null;
    case "x": return () => row()?.querySelector("input[data-choose]")?.click();
    case "y": return () => navigator.clipboard?.writeText(location.href);
    case "1": case "2": case "3": case "4": case "5":
      return () => document.querySelectorAll("main .tabs a")[key - 1]?.click();
  }
  const target = [...document.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
  return target ? () => target.click() : null;
}

function row() {
  return document.querySelector("[data-row-chosen]");
}

function move(step) {
  const rows = [...document.querySelectorAll("main tbody tr, main .rows > li")];
  const at = rows.indexOf(row());
  const next = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  if (!next) return;
  row()?.removeAttribute("data-row-chosen");
  next.dataset.rowChosen = "";
  next.tabIndex = -1;
  next.focus({ preventScroll: true });
  next.scrollIntoView({ block: "nearest" });
}

function showHelp() {
  const dialog = document.createElement("dialog");
  dialog.className = "help";
  const list = document.createElement("dl");
  list.className = "pairs";
  for (const [keys, text] of HELP) {
    const term = document.createElement("dt");
    const key = document.createElement("kbd");
    key.textContent = keys;
    term.append(key);
    const meaning = document.createElement("dd");
    meaning.textContent = text;
    list.append(term, meaning);
  }
  const heading = document.createElement("h2");
  heading.textContent = "Keys";
  const label = document.createElement("label");
  label.className = "check";
  const box = document.createElement("input");
  box.type = "checkbox";
  box.checked = localStorage.getItem(OFF) !== "off";
  box.addEventListener("change", () => (box.checked ? localStorage.removeItem(OFF) : localStorage.setItem(OFF, "off")));
  label.append(box, "Keys are on");
  const close = document.createElement("button");
  close.textContent = "Close";
  close.addEventListener("click", () => dialog.close());
  dialog.append(heading, list, label, close);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
