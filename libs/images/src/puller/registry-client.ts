// Reads from a registry by the OCI distribution API. Guarantees: only GET requests, only to the image's own registry and to
// where it redirects or sends for a token; every request has a time-out; what may pass (broken connections, 429, 5xx) is
// tried again with growing delays. Registries on this machine's loopback are spoken to in plain HTTP, as containerd does.
import { readAtMost } from "@coxswain/component-base/read-at-most";
import type { Env } from "@coxswain/env";
import { DOCKER_LIST_TYPE, DOCKER_MANIFEST_TYPE, INDEX_TYPE, MANIFEST_TYPE } from "../oci.ts";
import type { Reference } from "../reference.ts";
import { PullError } from "./pull-error.ts";

export interface RegistryAuth {
  readonly username: string;
  readonly password: string;
}

export interface RegistryOptions {
  /** Until a response begins, and between two pieces of its body, ms; 30,000 where unset. */
  readonly stallMs?: number;
  /** Tries a request in all; 4 where unset. */
  readonly tries?: number;
  /** Delay before the second try, ms; doubled each time; 500 where unset. */
  readonly firstRetryMs?: number;
}

export interface Manifest {
  readonly mediaType: string;
  readonly bytes: Buffer;
}

const ACCEPT = [MANIFEST_TYPE, INDEX_TYPE, DOCKER_MANIFEST_TYPE, DOCKER_LIST_TYPE].join(", ");
const MOST_MANIFEST_BYTES = 8 << 20;
const MOST_TOKEN_BYTES = 1 << 20;

export class RegistryClient {
  readonly #env: Env;
  readonly #options: Required<RegistryOptions>;
  readonly #base: string;
  readonly #reference: Reference;
  readonly #auth: RegistryAuth | undefined;
  #authorization: string | undefined;

  constructor(env: Env, reference: Reference, auth?: RegistryAuth, options: RegistryOptions = {}) {
    this.#env = env;
    this.#options = { stallMs: 30_000, tries: 4, firstRetryMs: 500, ...options };
    this.#reference = reference;
    this.#auth = auth;
    const host = reference.host === "docker.io" ? "registry-1.docker.io" : reference.host;
    const scheme = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/.test(host) ? "http" : "https";
    this.#base = `${scheme}://${host}/v2/${reference.repository}`;
  }

  /** By tag or digest. Rejects with PullError. */
  async manifest(tagOrDigest: string): Promise<Manifest> {
    const url = `${this.#base}/manifests/${tagOrDigest}`;
    return this.#retrying(async () => {
      const { body, headers } = await this.#get(url, { accept: ACCEPT });
      const tooLarge = (): Error => new PullError("Unknown", `the manifest at ${url} is too large`);
      const bytes = await readAtMost(body, MOST_MANIFEST_BYTES, tooLarge);
      const declared = (JSON.parse(bytes.toString()) as { mediaType?: string }).mediaType;
      return { bytes, mediaType: declared ?? (headers.get("content-type") ?? MANIFEST_TYPE).split(";")[0]! };
    });
  }

  /** Hands a blob's bytes to `take`, from the beginning again for each try. */
  blob(digest: string, take: (body: AsyncIterable<Uint8Array>) => Promise<void>): Promise<void> {
    return this.#retrying(async () => take((await this.#get(`${this.#base}/blobs/${digest}`, {})).body));
  }

  async #retrying<T>(attempt: () => Promise<T>): Promise<T> {
    let delayMs = this.#options.firstRetryMs;
    for (let tries = 1; ; tries++) {
      try {
        return await attempt();
      } catch (error) {
        if (!(error instanceof PullError) || error.code !== "Unavailable" || tries >= this.#options.tries) throw error;
        await this.#env.timers.sleep(delayMs * (0.75 + this.#env.random.float() / 2));
        delayMs *= 2;
      }
    }
  }

  async #get(
    url: string,
    headers: Record<string, string>,
  ): Promise<{ body: AsyncIterable<Uint8Array>; headers: Headers }> {
    let sent = await this.#send(url, headers);
    const challenge = sent.response.headers.get("www-authenticate");
    if (sent.response.status === 401 && challenge !== null) {
      await sent.response.body?.cancel();
      this.#authorization = await this.#answerChallenge(challenge);
      sent = await this.#send(url, headers);
    }
    await this.#refuseFailure(url, sent.response);
    return { body: sent.body(), headers: sent.response.headers };
  }

  /** One request; its time-out starts anew with each piece of the body. */
  async #send(
    url: string,
    headers: Record<string, string>,
  ): Promise<{ response: Response; body(): AsyncIterable<Uint8Array> }> {
    const stop = new AbortController();
    const { timers } = this.#env;
    const { stallMs } = this.#options;
    const late = (): void => stop.abort(new Error(`no answer for ${stallMs} ms`));
    let timer = timers.setTimeout(late, stallMs);
    const fail = (error: unknown): never => {
      timers.clear(timer);
      throw new PullError("Unavailable", `failed to do request: Get ${JSON.stringify(url)}: ${reasonOf(error)}`, {
        cause: error,
      });
    };
    const authorization = this.#authorization === undefined ? {} : { authorization: this.#authorization };
    const response = await fetch(url, { headers: { ...headers, ...authorization }, signal: stop.signal }).catch(fail);
    timers.clear(timer);
    async function* body(): AsyncGenerator<Uint8Array> {
      try {
        timer = timers.setTimeout(late, stallMs);
        for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
          timers.clear(timer);
          yield chunk;
          timer = timers.setTimeout(late, stallMs);
        }
      } catch (error) {
        fail(error);
      } finally {
        timers.clear(timer);
      }
    }
    return { response, body };
  }

  async #refuseFailure(url: string, response: Response): Promise<void> {
    if (response.ok) return;
    await response.body?.cancel();
    const { status, statusText } = response;
    const what = `unexpected status from GET request to ${url}: ${status} ${statusText}`;
    if (status === 404) throw new PullError("NotFound", `${this.#reference.full}: not found`);
    if (status === 401)
      throw new PullError(
        "PermissionDenied",
        "pull access denied, repository does not exist or may require authorization: authorization failed: no basic auth credentials",
      );
    if (status === 403) throw new PullError("PermissionDenied", what);
    throw new PullError(status === 429 || status >= 500 ? "Unavailable" : "Unknown", what);
  }

  /** The value of the Authorization header that a challenge asks for. */
  async #answerChallenge(challenge: string): Promise<string | undefined> {
    const { scheme, parameters } = parseChallenge(challenge);
    const basic = this.#auth === undefined ? undefined : basicAuth(this.#auth);
    if (scheme !== "bearer") return basic;
    const { realm, service, scope } = parameters;
    if (realm === undefined) throw new PullError("Unknown", `the registry's challenge names no realm: ${challenge}`);
    const url = new URL(realm);
    if (service !== undefined) url.searchParams.set("service", service);
    url.searchParams.set("scope", scope ?? `repository:${this.#reference.repository}:pull`);
    this.#authorization = basic;
    const sent = await this.#send(url.href, {});
    const { response } = sent;
    if (!response.ok) {
      await response.body?.cancel();
      throw new PullError(
        response.status >= 500 ? "Unavailable" : "PermissionDenied",
        `failed to authorize: failed to fetch oauth token: unexpected status from GET request to ${url.href}: ${response.status} ${response.statusText}`,
      );
    }
    const tooLarge = (): Error =>
      new PullError("Unknown", `failed to authorize: the answer of ${url.href} is too large`);
    const answer = JSON.parse((await readAtMost(sent.body(), MOST_TOKEN_BYTES, tooLarge)).toString()) as {
      token?: string;
      access_token?: string;
    };
    const token = answer.token ?? answer.access_token;
    if (token === undefined) throw new PullError("PermissionDenied", "failed to authorize: the answer holds no token");
    return `Bearer ${token}`;
  }
}

function basicAuth({ username, password }: RegistryAuth): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
}

/** `Bearer realm="…",service="…",scope="a,b"`. Pure. */
export function parseChallenge(text: string): { scheme: string; parameters: Record<string, string | undefined> } {
  const [scheme = "", ...rest] = text.trim().split(/\s+/);
  const parameters: Record<string, string | undefined> = {};
  for (const match of rest.join(" ").matchAll(/([a-zA-Z_-]+)=(?:"([^"]*)"|([^\s,]+))/g))
    parameters[match[1]!.toLowerCase()] = match[2] ?? match[3];
  return { scheme: scheme.toLowerCase(), parameters };
}

/** fetch hides the cause one level down. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error
    ? cause.message === ""
      ? String((cause as NodeJS.ErrnoException).code)
      : cause.message
    : error.message;
}
