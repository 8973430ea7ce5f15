// Keeps the DNS's own Service and EndpointSlice as they must be: at the start, and whenever somebody changes or deletes them.
import type { EndpointSlice, Service } from "@coxswain/api";
import { ENDPOINT_SLICES, SERVICES } from "@coxswain/api";
import { isReason, type KubeObject, type ResourceRef } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Logger } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import { DNS_NAMESPACE, DNS_SERVICE, planService, planSlice, wantedSlice, type DnsPlace } from "./dns-service.ts";

const FIRST_RETRY_MS = 200;
const MAX_RETRY_MS = 10_000;

export class Registrar {
  readonly #env: Env;
  readonly #logger: Logger;
  readonly #client: ResourceClient;
  #dirty = true;
  #done = false;
  #wake: (() => void) | undefined;

  constructor(deps: { env: Env; logger: Logger; client: ResourceClient }) {
    this.#env = deps.env;
    this.#logger = deps.logger;
    this.#client = deps.client;
  }

  /** True once both objects have been as they must be. */
  get done(): boolean {
    return this.#done;
  }

  /** An object changed: looks at it again where it is one of the two. */
  changed(object: KubeObject): void {
    const { namespace, name } = object.metadata ?? {};
    if (namespace !== DNS_NAMESPACE || name === undefined || !name.startsWith(DNS_SERVICE)) return;
    this.#dirty = true;
    this.#wake?.();
  }

  /** Works until `signal` aborts. */
  async run(place: DnsPlace, signal: AbortSignal): Promise<void> {
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      if (!this.#dirty) await this.#nextChange(signal);
      if (signal.aborted) return;
      this.#dirty = false;
      try {
        await this.#register(place);
        this.#done = true;
        retryMs = FIRST_RETRY_MS;
      } catch (error) {
        if (isAbort(error)) return;
        this.#logger.warn({ err: error, retryMs }, "could not register the DNS service");
        this.#dirty = true;
        await this.#pause(retryMs, signal);
        retryMs = Math.min(MAX_RETRY_MS, retryMs * 2);
      }
    }
  }

  async #register(place: DnsPlace): Promise<void> {
    const service = await this.#get<Service>(SERVICES, DNS_SERVICE);
    await this.#execute(SERVICES, planService(service, place));
    const slice = await this.#get<EndpointSlice>(ENDPOINT_SLICES, wantedSlice(place).metadata!.name!);
    await this.#execute(ENDPOINT_SLICES, planSlice(slice, place));
  }

  async #get<T extends KubeObject>(ref: ResourceRef, name: string): Promise<T | undefined> {
    try {
      return await this.#client.get<T>(ref, { namespace: DNS_NAMESPACE, name });
    } catch (error) {
      if (isReason(error, "NotFound")) return undefined;
      throw error;
    }
  }

  async #execute(
    ref: ResourceRef,
    plan: { readonly kind: "keep" } | { readonly kind: "create" | "update" | "replace"; readonly object: KubeObject },
  ): Promise<void> {
    if (plan.kind === "keep") return;
    const name = plan.object.metadata?.name ?? "";
    if (plan.kind === "update") await this.#client.update(ref, plan.object);
    else {
      if (plan.kind === "replace") await this.#client.delete(ref, { namespace: DNS_NAMESPACE, name });
      await this.#client.create(ref, plan.object);
    }
    this.#logger.info({ resource: ref.resource, name, action: plan.kind }, "registered the DNS");
  }

  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#env.timers.sleep(ms, signal);
    } catch (error) {
      if (!isAbort(error)) throw error;
    }
  }

  #nextChange(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        signal.removeEventListener("abort", done);
        this.#wake = undefined;
        resolve();
      };
      this.#wake = done;
      signal.addEventListener("abort", done, { once: true });
      if (signal.aborted) done();
    });
  }
}
