/** Types of `client.js`, which follows runs of Waypost from a front end. */

export type Status = "queued" | "running" | "waiting" | "paused" | "completed" | "failed" | "cancelled";

/** How much an entry shows. A token may permit less. */
export type See = "status" | "outputs" | "history";

export interface Options {
  /** The address of the service, such as `https://waypost.example.com`. */
  url: string;
  /** A token, or how to get one: it is asked again when the token expires or is refused. */
  token: string | (() => string | Promise<string>);
  /** One WebSocket for all subscriptions, or a stream for each; `auto` prefers the socket. */
  transport?: "auto" | "socket" | "sse";
  /** Whether to disconnect while the page is hidden for more than 30 s. The default is true. */
  pauses?: boolean;
}

/** What a subscription follows, as the protocol has it. */
export interface Target {
  run?: string;
  see?: See;
  tag?: string;
  pipeline?: string;
  all?: boolean;
}

/** An entry of a run's history; the other keys depend on its type. */
export interface Entry {
  sequence: number;
  at: string;
  type: string;
  path?: string;
  [key: string]: unknown;
}

/** What an attempt reports while it runs; it is not durable. */
export interface Progress {
  attempt: number;
  value: unknown;
  text: string;
}

export interface Problem {
  status: number;
  detail: string;
}

export interface RunSnapshot {
  readonly run: string;
  readonly pipeline: string | null;
  readonly status: Status | null;
  /** The path of the step that the run is at. */
  readonly step: string | null;
  readonly entries: readonly Entry[];
  /** By the path of the step. */
  readonly progress: Readonly<Record<string, Progress>>;
  /** The number of the last entry. */
  readonly after: number;
  readonly ended: boolean;
  readonly connected: boolean;
  /** Why there is nothing to follow; it is not tried again. */
  readonly error: Problem | null;
}

export interface RunState {
  run: string;
  pipeline: string;
  status: Status;
  step: string | null;
  sequence: number;
}

export interface RunsSnapshot {
  /** The newest first. */
  readonly runs: readonly RunState[];
  readonly connected: boolean;
  readonly error: Problem | null;
}

/** Fits `useSyncExternalStore` of React. Nothing is followed without a subscriber. */
export interface Store<Snapshot> {
  getSnapshot(): Snapshot;
  /** Calls the listener after each change; returns how to unsubscribe. */
  subscribe(listener: () => void): () => void;
}

export interface Waypost {
  run(id: string, wanted?: { see?: See; after?: number }): Store<RunSnapshot>;
  /** All runs, or those with a tag or of a pipeline; with a token, those that it permits. */
  runs(wanted?: { tag?: string; pipeline?: string }): Store<RunsSnapshot>;
  /** Ends all subscriptions. */
  close(): void;
}

export function connect(options: Options): Waypost;
