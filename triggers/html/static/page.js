// The script of every page of the dashboard. Pages work without it.

import { start as startChoosing } from "./choose.js";
import { start as startKeys } from "./keys.js";
import { start as startLive } from "./live.js";
import { start as startParts } from "./parts.js";

// On a phone the bar and the tabs scroll sideways: show the link of this page.
for (const link of document.querySelectorAll("nav > [aria-current=page]")) {
  const bar = link.parentElement;
  bar.scrollLeft = link.offsetLeft - bar.offsetLeft - (bar.clientWidth - link.offsetWidth) / 2;
}

startParts();
startChoosing();
startKeys();
startLive();
