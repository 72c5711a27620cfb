// Follows runs of Waypost from a browser, or from Node.js. It has no dependencies.
//
//   import { connect } from "https://waypost.example.com/static/client.js";
//   const waypost = connect({ url: "https://waypost.example.com", token: () => askMyBackendForAToken() });
//   const run = waypost.run("run_01jd7x…");
//   const stop = run.subscribe(() => console.log(run.getSnapshot().status));
//
// All subscriptions share one WebSocket. Where none can be opened, each is a stream of its own over fetch. A connection
// that is lost is opened again, and goes on after the last event: no entry is missed, and none comes twice.

/** @typedef {import("./client.d.ts").Options} Options */
/** @typedef {import("./client.d.ts").Target} Target */
/** @typedef {{ event: string, id: string | null, data: any }} StreamEvent */

const RETRY_MS = 2000;
const LONGEST_RETRY_MS = 30000;
const HIDDEN_MS = 30000;
const SOCKET_OPEN_MS = 5000;
const REFUSED = 4401;

/**
 * Connects to a service. Nothing is sent before the first subscription.
 * @param {Options} options
 */
export function connect(options) {
  const client = new Client(options);
  return {
    /** @param {string} id @param {{ see?: import("./client.d.ts").See, after?: number }} [wanted] */
    run: (id, wanted = {}) => new RunStore(client, id, wanted),
    /** @param {{ tag?: string, pipeline?: string }} [wanted] */
    runs: (wanted = {}) => new RunsStore(client, wanted),
    close: () => client.close(),
  };
}

/** What a subscriber sees, in a form that React's useSyncExternalStore takes: each change makes a new snapshot. */
class Store {
  #listeners = new Set();
  #client;
  #target;
  /** @type {any} */
  _snapshot;

  /** @param {Client} client @param {Target} target @param {any} first */
  constructor(client, target, first) {
    this.#client = client;
    this.#target = target;
    this._snapshot = first;
  }

  getSnapshot = () => this._snapshot;

  /** Follows the target from the first subscriber to the last; returns how to unsubscribe. */
  subscribe = (/** @type {() => void} */ listener) => {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#client.add(this, this.#target);
    return () => {
      if (this.#listeners.delete(listener) && this.#listeners.size === 0) this.#client.remove(this);
    };
  };

  /** @param {object} changes */
  _change(changes) {
    this._snapshot = Object.freeze({ ...this._snapshot, ...changes });
    for (const listener of [...this.#listeners]) listener();
  }

  /** @param {boolean} isConnected */
  setConnected(isConnected) {
    if (this._snapshot.connected !== isConnected) this._change({ connected: isConnected });
  }

  /** @param {{ status: number, detail: string }} problem */
  fail(problem) {
    this._change({ error: problem, connected: false });
  }
}

/** The state of a run, its entries, and what its attempts report. */
class RunStore extends Store {
  constructor(client, id, { see, after = 0 }) {
    super(client, { run: id, see }, Object.freeze({
      ...{ run: id, status: null, step: null, pipeline: null, entries: [], progress: {} },
      ...{ after, ended: false, connected: false, error: null },
    }));
  }

  get cursor() {
    return this._snapshot.after;
  }

  /** @param {StreamEvent[]} events @returns {boolean} whether more can come */
  take(events) {
    const now = this._snapshot;
    const changes = { entries: now.entries, progress: now.progress };
    for (const { event, id, data } of events) {
      if (id !== null) {
        if (Number(id) <= (changes.after ?? now.after)) continue;
        changes.after = Number(id);
        changes.entries = [...changes.entries, data];
        if (data.path in changes.progress) {
          const { [data.path]: _, ...others } = changes.progress;
          changes.progress = others;
        }
      } else if (event === "run" || event === "end") {
        Object.assign(changes, { status: data.status, step: data.step, pipeline: data.pipeline });
        if (event === "end") Object.assign(changes, { ended: true, progress: {} });
      } else if (event === "progress") {
        const before = changes.progress[data.step];
        const text = data.offset === 0 ? data.text : (before?.text ?? "") + data.text;
        changes.progress = { ...changes.progress, [data.step]: { attempt: data.attempt, value: data.value, text } };
      }
    }
    this._change(changes);
    return !changes.ended;
  }
}

/** The present states of many runs, the newest first. */
class RunsStore extends Store {
  #states = new Map();
  cursor = null;

  constructor(client, { tag, pipeline }) {
    super(client, { tag, pipeline, all: tag === undefined && pipeline === undefined }, Object.freeze({
      ...{ runs: [], connected: false, error: null },
    }));
  }

  /** @param {StreamEvent[]} events */
  take(events) {
    for (const { event, id, data } of events) {
      if (event === "reset") this.#states = new Map();
      if (event === "run") this.#states.set(data.run, data);
      if (id !== null) this.cursor = id;
    }
    const runs = [...this.#states.values()].sort((a, b) => (a.run < b.run ? 1 : -1));
    this._change({ runs });
    return true;
  }
}

/** The subscriptions of a page, and the connection that carries them. */
class Client {
  #options;
  #token = null;
  #number = 0;
  /** @type {Map<number, { store: any, target: Target }>} */
  #subscriptions = new Map();
  /** @type {null | { add(number: number, target: Target): void, remove(number: number): void, close(): void }} */
  #link = null;
  #timer = null;
  #attempts = 0;
  #usesSocket;
  #hiddenTimer = null;
  #isPaused = false;
  #isRenewing = false;

  /** @param {Options} options */
  constructor(options) {
    this.#options = { pauses: true, transport: "auto", ...options };
    this.url = this.#options.url.replace(/\/+$/, "");
    this.#usesSocket = this.#options.transport !== "sse" && "WebSocket" in globalThis;
    globalThis.document?.addEventListener("visibilitychange", this.#watchVisibility);
  }

  add(store, target) {
    this.#number += 1;
    this.#subscriptions.set(this.#number, { store, target });
    if (this.#link) this.#link.add(this.#number, target);
    else this.#openSoon(0);
  }

  remove(store) {
    for (const [number, each] of this.#subscriptions) {
      if (each.store === store) this.#end(number);
    }
  }

  close() {
    globalThis.document?.removeEventListener("visibilitychange", this.#watchVisibility);
    clearTimeout(this.#hiddenTimer);
    for (const number of [...this.#subscriptions.keys()]) this.#end(number);
  }

  /** Where a subscription goes on. */
  cursorOf(number) {
    return this.#subscriptions.get(number)?.store.cursor ?? null;
  }

  targetOf(number) {
    return this.#subscriptions.get(number)?.target;
  }

  /** The token, asked for anew if it was refused or expires. */
  async readToken() {
    const { token } = this.#options;
    if (this.#token === null) this.#token = typeof token === "function" ? await token() : token;
    return this.#token;
  }

  /** @param {number} number @param {StreamEvent[]} events */
  take(number, events) {
    const found = this.#subscriptions.get(number);
    if (!found) return;
    const problem = events.find((each) => each.event === "problem");
    this.#attempts = 0;
    if (problem && problem.data.status < 500) {
      found.store.fail(problem.data);
      this.#end(number);
      return;
    }
    if (problem) {
      this.lose(number);
      return;
    }
    found.store.setConnected(true);
    const goesOn = found.store.take(events.filter((each) => each.event !== "expiring"));
    if (!goesOn) {
      found.store.setConnected(false);
      this.#end(number);
    } else if (events.some((each) => each.event === "expiring")) this.#renew();
  }

  /** A connection ended, or one subscription of it: it is opened again, with a new token if that was refused. */
  lose(number = null, isRefused = false) {
    if (isRefused) {
      this.#token = null;
      if (typeof this.#options.token !== "function" || this.#attempts > 2) {
        for (const [each, { store }] of [...this.#subscriptions]) {
          store.fail({ status: 401, detail: "the token was refused, or has expired" });
          this.#end(each);
        }
        return;
      }
    }
    for (const [each, { store }] of this.#subscriptions) {
      if (number === null || each === number) store.setConnected(false);
    }
    this.#disconnect();
    this.#attempts += 1;
    const wait = Math.min(RETRY_MS * 2 ** (this.#attempts - 1), LONGEST_RETRY_MS);
    if (this.#subscriptions.size) this.#openSoon(isRefused ? 0 : wait * (1 + Math.random()));
  }

  /** No socket can be opened here: use streams from now on. */
  useStreams() {
    if (this.#options.transport === "socket") return this.lose();
    this.#usesSocket = false;
    this.#disconnect();
    this.#openSoon(0);
  }

  /** Replaces a token that expires soon, and goes on with the new one. */
  async #renew() {
    if (typeof this.#options.token !== "function" || this.#isRenewing) return;
    this.#isRenewing = true;
    this.#token = null;
    try {
      await this.readToken();
      this.#disconnect();
      this.#openSoon(0);
    } catch {
      // the connection goes on until its token has expired
    } finally {
      this.#isRenewing = false;
    }
  }

  #openSoon(wait) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#open(), wait);
  }

  async #open() {
    if (this.#link || this.#isPaused || !this.#subscriptions.size) return;
    let token;
    try {
      token = await this.readToken();
    } catch {
      this.lose();
      return;
    }
    if (this.#link || this.#isPaused) return;
    this.#link = this.#usesSocket ? new SocketLink(this, token) : new StreamLink(this, token);
    for (const [number, { target }] of this.#subscriptions) this.#link.add(number, target);
  }

  #end(number) {
    if (!this.#subscriptions.delete(number)) return;
    this.#link?.remove(number);
    if (!this.#subscriptions.size) {
      clearTimeout(this.#timer);
      this.#disconnect();
    }
  }

  #disconnect() {
    const link = this.#link;
    this.#link = null;
    link?.close();
  }

  #watchVisibility = () => {
    clearTimeout(this.#hiddenTimer);
    if (!this.#options.pauses) return;
    if (document.visibilityState === "hidden") {
      this.#hiddenTimer = setTimeout(() => {
        this.#isPaused = true;
        this.#disconnect();
      }, HIDDEN_MS);
    } else if (this.#isPaused) {
      this.#isPaused = false;
      this.#openSoon(0);
    }
  };
}

/** One WebSocket for all subscriptions. */
class SocketLink {
  #client;
  #socket;
  #waiting = [];
  /** @type {Map<number, StreamEvent[]>} */
  #arrived = new Map();
  #timer = null;
  #isOpen = false;
  #isClosed = false;

  constructor(client, token) {
    this.#client = client;
    this.#socket = new WebSocket(`${client.url.replace(/^http/, "ws")}/api/socket`);
    const timer = setTimeout(() => this.#socket.close(), SOCKET_OPEN_MS);
    this.#socket.onopen = () => {
      clearTimeout(timer);
      this.#isOpen = true;
      this.#socket.send(JSON.stringify({ token }));
      for (const message of this.#waiting.splice(0)) this.#socket.send(message);
    };
    this.#socket.onmessage = ({ data }) => {
      const { sub, event, id, data: value } = JSON.parse(data);
      const events = this.#arrived.get(sub);
      if (events) events.push({ event, id, data: value });
      else this.#arrived.set(sub, [{ event, id, data: value }]);
      this.#timer ??= setTimeout(() => this.#pass(), 0);
    };
    this.#socket.onclose = ({ code }) => {
      clearTimeout(timer);
      if (this.#isClosed) return;
      this.#pass();
      this.#isClosed = true;
      if (this.#isOpen) client.lose(null, code === REFUSED);
      else client.useStreams();
    };
  }

  add(number, target) {
    this.#send({ sub: number, ...target, after: this.#client.cursorOf(number) });
  }

  remove(number) {
    this.#send({ unsub: number });
  }

  /** Passes on what has arrived since the last time, so that a long history is not a change for each entry. */
  #pass() {
    this.#timer = null;
    for (const [number, events] of this.#arrived) {
      this.#arrived.delete(number);
      if (!this.#isClosed) this.#client.take(number, events);
    }
  }

  close() {
    this.#isClosed = true;
    this.#socket.close();
  }

  #send(message) {
    const text = JSON.stringify(message, (_, value) => value ?? undefined);
    if (this.#isOpen) this.#socket.send(text);
    else this.#waiting.push(text);
  }
}

/** A stream of server-sent events for each subscription. EventSource would put the token into the address. */
class StreamLink {
  #client;
  #token;
  /** @type {Map<number, AbortController>} */
  #streams = new Map();

  constructor(client, token) {
    this.#client = client;
    this.#token = token;
  }

  add(number, target) {
    const controller = new AbortController();
    this.#streams.set(number, controller);
    this.#follow(number, target, controller.signal);
  }

  remove(number) {
    this.#streams.get(number)?.abort();
    this.#streams.delete(number);
  }

  close() {
    for (const number of [...this.#streams.keys()]) this.remove(number);
  }

  async #follow(number, { run, all, ...query }, signal) {
    const given = Object.entries({ ...query, after: this.#client.cursorOf(number) });
    const search = new URLSearchParams(given.filter(([, value]) => value !== undefined && value !== null));
    const path = run === undefined ? "/api/stream" : `/api/runs/${encodeURIComponent(run)}/stream`;
    try {
      const headers = { Authorization: `Bearer ${this.#token}` };
      const answer = await fetch(`${this.#client.url}${path}?${search}`, { headers, signal, cache: "no-store" });
      if (answer.status === 401) return this.#client.lose(number, true);
      if (!answer.ok) {
        return this.#client.take(number, [{ event: "problem", id: null, data: await answer.json() }]);
      }
      for await (const events of readEvents(answer.body)) {
        if (signal.aborted) return;
        this.#client.take(number, events);
      }
    } catch (error) {
      if (signal.aborted) return;
    }
    if (!signal.aborted) this.#client.lose(number);
  }
}

/**
 * Reads server-sent events as they arrive.
 * @param {ReadableStream<Uint8Array>} body
 * @returns {AsyncGenerator<StreamEvent[]>}
 */
async function* readEvents(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    const events = blocks.map(parseEvent).filter((event) => event !== null);
    if (events.length) yield events;
  }
}

/** @param {string} block @returns {StreamEvent | null} */
function parseEvent(block) {
  const fields = Object.fromEntries(block.split("\n").map((line) => line.split(/: (.*)/s, 2)));
  if (fields.data === undefined) return null;
  return { event: fields.event, id: fields.id ?? null, data: JSON.parse(fields.data) };
}
