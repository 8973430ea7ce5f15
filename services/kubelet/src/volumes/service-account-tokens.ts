// Tokens of pods' service accounts, asked of the api-server. Guarantees: a token is asked for once and given out until 80%
// of its life, or a day, is over; an old one that is still good serves where no new one can be had.
import { SERVICE_ACCOUNTS, type Pod, type ServiceAccountTokenProjection, type TokenRequest } from "@coxswain/api";
import { parseTime } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import type { Clock } from "@coxswain/env";

const DEFAULT_SECONDS = 3600;
const MAX_AGE_MS = 24 * 3_600_000;
/** Share of its life after which a token is replaced. */
const RENEW_AT = 0.8;

export interface PodToken {
  readonly token: string;
  /** From then on a new one should be asked for. */
  readonly renewAtMs: number;
}

interface Known extends PodToken {
  readonly expiresAtMs: number;
}

export class ServiceAccountTokens {
  readonly #client: ResourceClient;
  readonly #clock: Clock;
  readonly #byPod = new Map<string, Map<string, Known>>();

  constructor(client: ResourceClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** Rejects with the api-server's StatusError where there is no token to give. */
  async token(pod: Pod, projection: ServiceAccountTokenProjection): Promise<PodToken> {
    const uid = pod.metadata?.uid ?? "";
    const tokens = this.#byPod.get(uid) ?? new Map<string, Known>();
    this.#byPod.set(uid, tokens);
    const seconds = projection.expirationSeconds ?? DEFAULT_SECONDS;
    const key = `${projection.audience ?? ""}/${seconds}`;
    const known = tokens.get(key);
    const nowMs = this.#clock.now();
    if (known !== undefined && nowMs < known.renewAtMs) return known;
    try {
      const fresh = await this.#request(pod, projection.audience ?? "", seconds);
      tokens.set(key, fresh);
      return fresh;
    } catch (error) {
      if (known !== undefined && nowMs < known.expiresAtMs) return known;
      throw error;
    }
  }

  /** The pod is over. */
  forget(uid: string): void {
    this.#byPod.delete(uid);
  }

  async #request(pod: Pod, audience: string, expirationSeconds: number): Promise<Known> {
    const { namespace = "", name = "", uid = "" } = pod.metadata ?? {};
    const request: TokenRequest = {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: {
        audiences: audience === "" ? [] : [audience],
        expirationSeconds,
        boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid },
      },
    };
    const account = pod.spec?.serviceAccountName ?? "default";
    const askedAtMs = this.#clock.now();
    const options = { namespace, name: account, subresource: "token" };
    const { status } = await this.#client.create(SERVICE_ACCOUNTS, request, options);
    const expiresAtMs = parseTime(status?.expirationTimestamp) ?? askedAtMs + expirationSeconds * 1000;
    const lifeMs = Math.min((expiresAtMs - askedAtMs) * RENEW_AT, MAX_AGE_MS);
    return { token: status?.token ?? "", expiresAtMs, renewAtMs: askedAtMs + lifeMs };
  }
}
