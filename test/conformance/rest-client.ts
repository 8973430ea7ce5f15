// A small REST client for tests: the verbs of the Kubernetes API over HTTPS with a client certificate or a token, and watches
// whose events can be waited for. It knows nothing of Coxswain, so that what passes with it passes with any client.
import { request as httpsRequest, Agent, type RequestOptions } from "node:https";
import type { IncomingMessage } from "node:http";
import type { ListMeta, ObjectMeta, Status } from "@coxswain/apimachinery";

/** Any object of the API, with whatever fields it has. */
export interface Thing {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
  [field: string]: unknown;
}

export interface ThingList<T = Thing> {
  apiVersion: string;
  kind: string;
  metadata: ListMeta;
  items: T[];
}

export interface WatchEvent<T = Thing> {
  readonly type: string;
  readonly object: T;
}

export interface Answer {
  readonly code: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
}

/** An answer of 400 and above. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly code: number;
  readonly status: Partial<Status>;

  constructor(what: string, answer: Answer) {
    let status: Partial<Status> = {};
    try {
      status = JSON.parse(answer.text) as Partial<Status>;
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    super(`${what}: ${answer.code}: ${status.message ?? answer.text.slice(0, 500)}`);
    this.code = answer.code;
    this.status = status;
  }
}

export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

export const PATCHES = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  strategic: "application/strategic-merge-patch+json",
  apply: "application/apply-patch+yaml",
} as const;
export type PatchKind = keyof typeof PATCHES;

export interface Identity {
  readonly ca: string;
  readonly cert?: string;
  readonly key?: string;
  readonly token?: string;
}

interface Send {
  readonly query?: Query;
  readonly body?: unknown;
  readonly headers?: Record<string, string>;
}

/** A watch's events, in order. Each is handed out once. */
export interface Watch<T = Thing> extends Disposable {
  /** The next event that matches, past those that do not. Rejects, naming `what` and what came, after `withinMs`. */
  until(what: string, matches: (event: WatchEvent<T>) => boolean, withinMs?: number): Promise<WatchEvent<T>>;
  /** All that came so far and was not handed out. */
  take(): WatchEvent<T>[];
  close(): void;
}

export interface Resource<T extends Thing = Thing> {
  readonly path: string;
  create(object: object, query?: Query): Promise<T>;
  get(name: string, subresource?: string): Promise<T>;
  list(query?: Query): Promise<ThingList<T>>;
  replace(object: Thing, subresource?: string, query?: Query): Promise<T>;
  /** A merge patch where `kind` is unset. */
  patch(name: string, body: unknown, kind?: PatchKind, subresource?: string, query?: Query): Promise<T>;
  delete(name: string, options?: object): Promise<Thing>;
  deleteCollection(query: Query, options?: object): Promise<Thing>;
  watch(query?: Query): Watch<T>;
}

export interface Rest {
  /** Whatever the server answers. */
  send(method: string, path: string, send?: Send): Promise<Answer>;
  /** The answer's JSON. Rejects with ApiError from 400 on. */
  json<T>(method: string, path: string, send?: Send): Promise<T>;
  watch<T = Thing>(path: string, query?: Query): Watch<T>;
  /** `groupVersion` as in "v1" or "apps/v1". */
  resource<T extends Thing = Thing>(groupVersion: string, plural: string, namespace?: string): Resource<T>;
  close(): void;
}

const WATCH_PATIENCE_MS = 30_000;

function pathWith(path: string, query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) search.append(key, String(one));
  }
  return search.size === 0 ? path : `${path}${path.includes("?") ? "&" : "?"}${search.toString()}`;
}

/** A client of the server at `base` (https://host:port). */
export function createRest(base: string, identity: Identity): Rest {
  const agent = new Agent({
    keepAlive: true,
    maxSockets: 64,

    ca: identity.ca,
    cert: identity.cert,
    key: identity.key,
  });
  const { hostname, port } = new URL(base);
  const open = (method: string, path: string, headers: Record<string, string>): ReturnType<typeof httpsRequest> => {
    const bearer: Record<string, string> =
      identity.token === undefined ? {} : { authorization: `Bearer ${identity.token}` };
    const options: RequestOptions = {
      agent,
      hostname,
      port,
      servername: "",
      method,
      path,
      headers: { ...bearer, ...headers },
    };
    return httpsRequest(options);
  };

  const send: Rest["send"] = (method, path, { query, body, headers = {} } = {}) =>
    new Promise((resolve, reject) => {
      const text = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
      const type: Record<string, string> =
        text === undefined
          ? {}
          : { "content-type": "application/json", "content-length": String(Buffer.byteLength(text)) };
      const request = open(method, pathWith(path, query), { accept: "application/json", ...type, ...headers });
      request.on("error", reject);
      request.on("response", (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", reject);
        response.on("end", () => {
          const all = Buffer.concat(chunks).toString("utf8");
          resolve({ code: response.statusCode ?? 0, headers: response.headers, text: all });
        });
      });
      request.end(text);
    });

  const json = async <T>(method: string, path: string, wish?: Send): Promise<T> => {
    const answer = await send(method, path, wish);
    if (answer.code >= 400) throw new ApiError(`${method} ${path}`, answer);
    return JSON.parse(answer.text) as T;
  };

  const watch: Rest["watch"] = (path, query) =>
    createWatch(open("GET", pathWith(path, { ...query, watch: true }), { accept: "application/json" }));

  const resource: Rest["resource"] = <T extends Thing>(groupVersion: string, plural: string, namespace?: string) => {
    const prefix = groupVersion.includes("/") ? `/apis/${groupVersion}` : `/api/${groupVersion}`;
    const path = `${prefix}${namespace === undefined ? "" : `/namespaces/${namespace}`}/${plural}`;
    const one = (name: string, sub?: string): string => `${path}/${name}${sub === undefined ? "" : `/${sub}`}`;
    const named = (object: Thing): string => object.metadata.name ?? "";
    const found: Resource<T> = {
      path,
      create: (object, query) => json("POST", path, { body: object, query }),
      get: (name, sub) => json("GET", one(name, sub)),
      list: (query) => json("GET", path, { query }),
      replace: (object, sub, query) => json("PUT", one(named(object), sub), { body: object, query }),
      patch: (name, body, kind = "merge", sub, query) =>
        json("PATCH", one(name, sub), { body, query, headers: { "content-type": PATCHES[kind] } }),
      delete: (name, options) => json("DELETE", one(name), { body: options }),
      deleteCollection: (query, options) => json("DELETE", path, { query, body: options }),
      watch: (query) => watch<T>(path, query),
    };
    return found;
  };
  return { send, json, watch, resource, close: () => agent.destroy() };
}

function createWatch<T>(request: ReturnType<typeof httpsRequest>): Watch<T> {
  const events: WatchEvent<T>[] = [];
  let ended: Error | undefined;
  let wake = (): void => {};
  const end = (error: Error): void => {
    ended ??= error;
    wake();
  };
  request.on("error", end);
  request.on("response", (response) => {
    let rest = "";
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() ?? "";
      if (response.statusCode === 200) events.push(...lines.map((line) => JSON.parse(line) as WatchEvent<T>));
      wake();
    });
    response.on("error", end);
    response.on("end", () => end(new Error(`the watch ended: ${response.statusCode} ${rest}`)));
  });
  request.end();

  const until: Watch<T>["until"] = async (what, matches, withinMs = WATCH_PATIENCE_MS) => {
    const seen: WatchEvent<T>[] = [];
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      wake();
    }, withinMs);
    try {
      for (;;) {
        for (let event = events.shift(); event !== undefined; event = events.shift()) {
          if (matches(event)) return event;
          seen.push(event);
        }
        if (ended !== undefined || late) {
          const reason = ended?.message ?? `not within ${withinMs} ms`;
          const last = seen.map(({ type, object }) => `${type} ${JSON.stringify(object).slice(0, 300)}`).slice(-5);
          throw new Error(`${what}: ${reason}; came: ${last.join("\n") || "nothing"}`);
        }
        await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      clearTimeout(timer);
    }
  };
  const close = (): void => {
    ended ??= new Error("the watch was closed");
    request.destroy();
  };
  return { until, take: () => events.splice(0), close, [Symbol.dispose]: close };
}

/** The value at a path such as "status.conditions.0.type"; `none` where there is none. */
export function at<T = unknown>(thing: unknown, path: string, none?: T): T | undefined {
  let value = thing;
  for (const key of path.split(".")) value = (value as Record<string, unknown> | null | undefined)?.[key];
  return (value as T | undefined) ?? none;
}

/** The names of the objects, sorted. */
export function namesOf(things: readonly Thing[]): string[] {
  return things.map(({ metadata }) => metadata.name ?? "").toSorted();
}
