// Keeps the objects through which api-servers find this process as they must be, learns whom they let speak for their users, and
// looks whether they have found it. Guarantee: what somebody else registered under the name is left alone.
import { API_SERVICES, CONFIG_MAPS, ENDPOINT_SLICES, SERVICES } from "@coxswain/api";
import type { APIService, ConfigMap } from "@coxswain/api";
import { isReason, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import * as registration from "./registration.ts";
import type { Place } from "./registration.ts";

const SOON_MS = 25;
/** Doubles from SOON_MS on while the api-servers have not found this process. */
const MAX_SOON_MS = 250;
/** How often everything is looked at again. */
const LOOK_AGAIN_MS = 10_000;
const PROXY_IDENTITY = { namespace: "kube-system", name: "extension-apiserver-authentication" };

export interface RegistrarDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly client: ResourceClient;
}

export class Registrar {
  readonly #deps: RegistrarDeps;
  #problem: string | undefined = "not registered yet";
  #proxies: readonly string[] = [];

  constructor(deps: RegistrarDeps) {
    this.#deps = deps;
  }

  /** Why api-servers do not ask this process; undefined where they do. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Names in certificates of those who may speak for others. */
  get proxies(): readonly string[] {
    return this.#proxies;
  }

  /** Works until `signal` aborts. */
  async run(place: Place, signal: AbortSignal): Promise<void> {
    const { env, logger } = this.#deps;
    let soonMs = SOON_MS;
    while (!signal.aborted) {
      try {
        await this.#look(place);
      } catch (error) {
        if (isAbort(error)) return;
        const problem = `could not register: ${String(error)}`;
        if (problem !== this.#problem) logger.warn({ err: error }, "could not register the metrics API");
        this.#problem = problem;
      }
      const pause = this.#problem === undefined ? LOOK_AGAIN_MS : soonMs;
      soonMs = this.#problem === undefined ? SOON_MS : Math.min(MAX_SOON_MS, soonMs * 2);
      await env.timers.sleep(pause, signal).catch((error: unknown) => {
        if (!isAbort(error)) throw error;
      });
    }
  }

  async #look(place: Place): Promise<void> {
    // Before anybody asks: a caller that is not known is refused.
    await this.#learnProxies();
    const slice = registration.wantedSlice(place);
    const done = [await this.#ensure(SERVICES, registration.wantedService(place))];
    if (slice !== undefined) done.push(await this.#ensure(ENDPOINT_SLICES, slice));
    done.push(await this.#ensure(API_SERVICES, registration.wantedApiService(place)));
    if (done.includes("leave")) {
      // Another server does the work: there is nothing to wait for.
      if (this.#problem !== undefined) this.#deps.logger.info({}, "another metrics API is registered");
      this.#problem = undefined;
      return;
    }
    const apiService = await this.#get<APIService>(API_SERVICES, { name: registration.API_SERVICE });
    this.#problem = registration.registrationProblem(apiService);
  }

  async #learnProxies(): Promise<void> {
    const config = await this.#get<ConfigMap>(CONFIG_MAPS, PROXY_IDENTITY);
    const names: unknown = JSON.parse(config?.data?.["requestheader-allowed-names"] ?? "[]");
    this.#proxies = Array.isArray(names) ? names.map(String) : [];
  }

  async #get<T extends KubeObject>(
    ref: ResourceRef,
    target: { namespace?: string; name: string },
  ): Promise<T | undefined> {
    try {
      return await this.#deps.client.get<T>(ref, target);
    } catch (error) {
      if (isReason(error, "NotFound")) return undefined;
      throw error;
    }
  }

  async #ensure(ref: ResourceRef, wanted: KubeObject): Promise<"kept" | "written" | "leave"> {
    const { client, logger } = this.#deps;
    const { namespace, name = "" } = wanted.metadata ?? {};
    const plan = registration.planObject(
      await this.#get<KubeObject>(ref, { ...(namespace === undefined ? {} : { namespace }), name }),
      wanted,
    );
    if (plan.do === "keep") return "kept";
    if (plan.do === "leave") return "leave";
    if (plan.do === "create") await client.create(ref, plan.object);
    else await client.update(ref, plan.object);
    logger.info({ resource: ref.resource, name, action: plan.do }, "registered the metrics API");
    return "written";
  }
}
