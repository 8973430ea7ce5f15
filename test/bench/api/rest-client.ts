// REST requests over a pool of connections that stay open, as a client of many goroutines has them.
import { Pool } from "undici";

export interface RestClient {
  /** Rejects with the answer's text where its code is not 2xx. Resolves with the body's length in bytes. */
  request(method: "GET" | "POST" | "PUT" | "PATCH", path: string, body?: string): Promise<number>;
  /** The body as text. */
  text(path: string): Promise<string>;
  close(): Promise<void>;
}

export interface RestTarget {
  /** As in "https://127.0.0.1:6443". */
  readonly origin: string;
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  readonly connections: number;
}

const TYPES = { GET: "", POST: "application/json", PUT: "application/json", PATCH: "application/merge-patch+json" };

export function createRestClient({ origin, tls, connections }: RestTarget): RestClient {
  const pool = new Pool(origin, { connections, pipelining: 1, ...(tls === undefined ? {} : { connect: { ...tls } }) });
  const call = async (method: keyof typeof TYPES, path: string, body?: string) => {
    const headers = { accept: "application/json", ...(body === undefined ? {} : { "content-type": TYPES[method] }) };
    const answer = await pool.request({ method, path, headers, body: body ?? null });
    if (answer.statusCode >= 300)
      throw new Error(`${method} ${path}: ${answer.statusCode} ${await answer.body.text()}`);
    return answer.body;
  };
  return {
    async request(method, path, body) {
      let length = 0;
      for await (const chunk of await call(method, path, body)) length += (chunk as Buffer).length;
      return length;
    },
    text: async (path) => (await call("GET", path)).text(),
    close: () => pool.destroy(),
  };
}
