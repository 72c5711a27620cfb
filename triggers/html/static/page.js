// The script of every page of the dashboard. Pages work without it.

import { start as startChoosing } from "./choose.js";
import { start as startKeys } from "./keys.js";
import { start as startLive } from "./live.js";
import { start as startParts } from "./parts.js";

startParts();
startChoosing();
startKeys();
startLive();
