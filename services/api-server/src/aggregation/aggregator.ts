// Groups and versions that other api-servers serve, registered by APIServices. Guarantees: a request goes on only after this
// api-server knows who asks and that they may; discovery and OpenAPI of what was once seen stay while the remote is away; every
// process looks by itself, and the elected one tells the result in the APIService's status.
// https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
import { createHash } from "node:crypto";
import { API_SERVICES, ENDPOINT_SLICES, SERVICES } from "@coxswain/api";
import type { APIService } from "@coxswain/api";
import { isReason, newServiceUnavailable } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Logger, UserInfo } from "@coxswain/component-base";
import { isAbort } from "@coxswain/env";
import type { RestCall, UpgradeCall } from "../rest/deps.ts";
import { forwardRequest, forwardUpgrade } from "../rest/proxy/proxy-transport.ts";
import type { ProxyPath } from "../rest/proxy/proxy-headers.ts";
import type { ProxyTarget } from "../rest/proxy/proxy-transport.ts";
import type { GroupPriority } from "./group-priorities.ts";
import { failedDiscovery, isAvailable, PASSED, planStatus } from "./plan-availability.ts";
import type { Availability } from "./plan-availability.ts";
import { remoteResources } from "./remote-discovery.ts";
import type { RemoteResource } from "./remote-discovery.ts";
import { fetchRemote } from "./remote-fetch.ts";
import type { RemoteAnswer, RemoteWrite } from "./remote-fetch.ts";
import { remoteSource, remoteTarget } from "./remote-target.ts";
import type { RemoteTargetDeps } from "./remote-target.ts";

/** How often a remote that answers is asked again. */
const RESYNC_MS = 30_000;
/** How soon one that does not. */
const RETRY_MS = 1_000;

export interface OpenApiBytes {
  readonly body: Buffer;
  readonly hash: string;
}

export interface RemoteVersion {
  readonly group: string;
  readonly version: string;
  readonly priority: GroupPriority;
  /** Its resources are what was seen last; it does not answer now. */
  readonly stale: boolean;
  readonly resources: readonly RemoteResource[];
  readonly openApi: OpenApiBytes | undefined;
}

export interface RemoteCall {
  /** With its query. */
  readonly path: string;
  readonly user: UserInfo;
  readonly signal: AbortSignal;
  /** What the call changes; a GET without it. */
  readonly write?: RemoteWrite;
}

export interface AggregatedApis {
  /** Whether another api-server is registered for it. */
  handles(group: string, version: string): boolean;
  /** For a user who may. Writes the whole answer; rejects with StatusError before its first byte. */
  serve(group: string, version: string, call: RestCall): Promise<void>;
  /** For a user who may; rejects with StatusError ServiceUnavailable where no whole answer comes. */
  fetch(group: string, version: string, call: RemoteCall): Promise<RemoteAnswer>;
  /** Takes over the socket; rejects with StatusError before that. */
  upgrade(group: string, version: string, call: UpgradeCall): Promise<void>;
  /** The same list until something in it changes. */
  versions(): readonly RemoteVersion[];
}

export interface AggregatorDeps extends RemoteTargetDeps {
  readonly logger: Logger;
  readonly client: ResourceClient;
  /** Whether this process is the one to write status. */
  readonly leading: () => boolean;
}

interface Seen {
  readonly key: string;
  readonly lookedMs: number;
  readonly availability: Availability;
  readonly version: RemoteVersion;
}

function pathOf(url: string): ProxyPath {
  const mark = url.indexOf("?");
  return mark < 0
    ? { prefix: "", rest: url, query: "" }
    : { prefix: "", rest: url.slice(0, mark), query: url.slice(mark) };
}

const nameOf = (group: string, version: string): string => `${version}.${group}`;

export class Aggregator implements AggregatedApis {
  readonly #deps: AggregatorDeps;
  readonly #seen = new Map<string, Seen>();
  #versions: readonly RemoteVersion[] = [];

  constructor(deps: AggregatorDeps) {
    this.#deps = deps;
  }

  handles(group: string, version: string): boolean {
    return this.#find(group, version)?.spec?.service !== undefined;
  }

  async serve(group: string, version: string, call: RestCall): Promise<void> {
    const target = this.#targetFor(group, version);
    if (target === undefined) {
      call.response.writeHead(503, { "Content-Type": "text/plain; charset=utf-8" }).end("service unavailable\n");
      return;
    }
    await forwardRequest({ ...target, user: call.user }, call, pathOf(call.request.url ?? "/"));
  }

  async upgrade(group: string, version: string, call: UpgradeCall): Promise<void> {
    const target = this.#targetFor(group, version);
    if (target === undefined) {
      call.socket.end("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
      return;
    }
    await forwardUpgrade({ ...target, user: call.user }, call, pathOf(call.request.url ?? "/"));
  }

  async fetch(group: string, version: string, { path, user, signal, write }: RemoteCall): Promise<RemoteAnswer> {
    const target = this.#targetFor(group, version);
    if (target === undefined) throw newServiceUnavailable("the server is currently unable to handle the request");
    try {
      return await fetchRemote(target, path, signal, user, write);
    } catch (error) {
      throw newServiceUnavailable(`error trying to reach service: ${(error as Error).message}`);
    }
  }

  versions(): readonly RemoteVersion[] {
    return this.#versions;
  }

  /** Looks at the remotes until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { source, env } = this.#deps;
    let changed = new AbortController();
    const wake = (): void => changed.abort();
    const wakeForRemotes = (): void => {
      if (this.#seen.size > 0) wake();
    };
    const stops = [
      source.onChange(API_SERVICES, wake),
      source.onChange(SERVICES, wakeForRemotes),
      source.onChange(ENDPOINT_SLICES, wakeForRemotes),
    ];
    try {
      while (!signal.aborted) {
        changed = new AbortController();
        await this.#lookAtAll(signal);
        const failing = [...this.#seen.values()].some(({ availability }) => !availability.available);
        await env.timers
          .sleep(failing ? RETRY_MS : RESYNC_MS, AbortSignal.any([signal, changed.signal]))
          .catch((error: unknown) => {
            if (!isAbort(error)) throw error;
          });
      }
    } finally {
      for (const stop of stops) stop();
    }
  }

  #find(group: string, version: string): APIService | undefined {
    return this.#deps.source.get(API_SERVICES, "", nameOf(group, version))?.object;
  }

  /** Undefined while it is not available. */
  #targetFor(group: string, version: string): ProxyTarget | undefined {
    const apiService = this.#find(group, version);
    if (apiService === undefined || !isAvailable(apiService)) return undefined;
    const target = remoteTarget(this.#deps, apiService, true);
    return "available" in target ? undefined : target;
  }

  async #lookAtAll(signal: AbortSignal): Promise<void> {
    const remotes = this.#deps.source
      .list(API_SERVICES)
      .map(({ object }) => object as APIService)
      .filter(({ spec }) => spec?.service !== undefined);
    const names = new Set(remotes.map(({ metadata }) => metadata?.name ?? ""));
    for (const name of this.#seen.keys()) if (!names.has(name)) this.#seen.delete(name);
    await Promise.all(
      remotes.map(async (apiService) => {
        try {
          await this.#lookAt(apiService, signal);
        } catch (error) {
          if (signal.aborted) return;
          this.#deps.logger.warn(
            { name: apiService.metadata?.name, error: String(error) },
            "could not tell of a remote",
          );
        }
      }),
    );
    const versions = [...this.#seen.values()].map(({ version }) => version);
    const same = versions.length === this.#versions.length && versions.every((one) => this.#versions.includes(one));
    if (!same) this.#versions = versions;
  }

  async #lookAt(apiService: APIService, signal: AbortSignal): Promise<void> {
    const { env, source, client, leading } = this.#deps;
    const name = apiService.metadata?.name ?? "";
    const before = this.#seen.get(name);
    const key = JSON.stringify([apiService.spec, remoteSource(source, apiService).version]);
    const due =
      env.clock.monotonic() - (before?.lookedMs ?? 0) >= (before?.availability.available ? RESYNC_MS : RETRY_MS);
    let seen = before;
    if (before === undefined || before.key !== key || due) {
      const found = await this.#ask(apiService, before?.version, signal);
      if (signal.aborted) return;
      seen = { key, lookedMs: env.clock.monotonic(), ...found };
      this.#seen.set(name, seen);
    }
    if (seen === undefined || !leading()) return;
    const next = planStatus(apiService, seen.availability, env.clock.now());
    if (next === undefined) return;
    try {
      await client.update(API_SERVICES, next, { subresource: "status" });
    } catch (error) {
      // What somebody else wrote in the meantime leads to another look.
      if (!isReason(error, "Conflict", "NotFound")) throw error;
    }
  }

  async #ask(
    apiService: APIService,
    before: RemoteVersion | undefined,
    signal: AbortSignal,
  ): Promise<Pick<Seen, "availability" | "version">> {
    const { group = "", version = "", groupPriorityMinimum = 0, versionPriority = 0 } = apiService.spec ?? {};
    const priority = { group: groupPriorityMinimum, version: versionPriority };
    const last = {
      group,
      version,
      priority,
      stale: true,
      resources: before?.resources ?? [],
      openApi: before?.openApi,
    };
    const target = remoteTarget(this.#deps, apiService, true);
    if ("available" in target) return { availability: target, version: kept(before, last) };
    try {
      const resources = remoteResources(
        JSON.parse(String(await this.#get(target, `/apis/${group}/${version}`, signal))),
        group,
        version,
      );
      const openApi = await this.#openApi(target, group, version, signal);
      return { availability: PASSED, version: kept(before, { ...last, stale: false, resources, openApi }) };
    } catch (error) {
      this.#deps.logger.debug({ group, version, error: String(error) }, "discovery of a remote failed");
      return { availability: await this.#probe(apiService, group, version, signal), version: kept(before, last) };
    }
  }

  /** Upstream's check, which believes any certificate. */
  async #probe(apiService: APIService, group: string, version: string, signal: AbortSignal): Promise<Availability> {
    const target = remoteTarget(this.#deps, apiService, false);
    if ("available" in target) return target;
    const path = `/apis/${group}/${version}`;
    try {
      await this.#get(target, path, signal);
      return PASSED;
    } catch (error) {
      const url = `https://${target.host}:${target.port}${path}`;
      return failedDiscovery(`failing or missing response from ${url}: ${(error as Error).message}`);
    }
  }

  async #get(target: ProxyTarget, path: string, signal: AbortSignal): Promise<Buffer> {
    const { code, body } = await fetchRemote(target, path, signal);
    if (code < 200 || code > 299)
      throw new Error(`bad status from https://${target.host}:${target.port}${path}: ${code}`);
    return body;
  }

  /** Undefined where the remote has none. */
  async #openApi(
    target: ProxyTarget,
    group: string,
    version: string,
    signal: AbortSignal,
  ): Promise<OpenApiBytes | undefined> {
    const { code, body } = await fetchRemote(target, `/openapi/v3/apis/${group}/${version}`, signal);
    if (code !== 200) return undefined;
    return { body, hash: createHash("sha256").update(body).digest("hex").toUpperCase() };
  }
}

/** The one from before where nothing differs, so that what was made of it stays. */
function kept(before: RemoteVersion | undefined, next: RemoteVersion): RemoteVersion {
  const says = ({ openApi, ...rest }: RemoteVersion): string => JSON.stringify([rest, openApi?.hash]);
  return before !== undefined && says(before) === says(next) ? before : next;
}
