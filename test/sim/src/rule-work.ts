// What the user does with rules of the cluster, beside the application: a Service whose Endpoints are written by hand, more objects
// than a quota lets be until it is raised, and a range of Service addresses that is to go while a Service is in it.
import {
  ENDPOINTS,
  type Endpoints,
  type EndpointSlice,
  RESOURCE_QUOTAS,
  type ResourceQuota,
  SECRETS,
  SERVICE_CIDRS,
  SERVICES,
  type Service,
  type ServiceCIDR,
} from "@coxswain/api";
import { isReason, mayHaveLanded } from "@coxswain/apimachinery";
import type { Random } from "@coxswain/env";
import { NAMESPACE, type Driver } from "./driver.ts";
import { isMirror, mirroredIn, saidBy } from "./invariants/mirrors.ts";
import type { World } from "./world.ts";

export interface RuleShape {
  /** How many addresses of the Endpoints are ready, and how many are not, from time to time. */
  readonly endpoints: readonly { readonly atMs: number; readonly ready: number; readonly unready: number }[];
  readonly secrets: number;
  readonly allowed: number;
  readonly raiseAtMs: number;
  readonly rangeGoesAtMs: number;
  readonly serviceGoesAtMs: number;
}

export function planRules(random: Random, withinMs: number): RuleShape {
  const times = Array.from({ length: 3 }, () => random.int(withinMs)).toSorted((a, b) => a - b);
  const secrets = 3 + random.int(4);
  return {
    endpoints: times.map((atMs) => ({ atMs, ready: random.int(4), unready: random.int(3) })),
    secrets,
    allowed: 1 + random.int(secrets - 1),
    raiseAtMs: random.int(withinMs),
    rangeGoesAtMs: random.int(withinMs / 2),
    serviceGoesAtMs: withinMs / 2 + random.int(withinMs / 2),
  };
}

const MIRRORED = "by-hand";
const QUOTA = "few-secrets";
const RANGE = "aside";
const CIDR = "10.200.0.0/28";
const INSIDE = "10.200.0.9";
const GUEST = "guest";
const COUNTED = "count/secrets";
const RETRY_MS = 500;
const ports = [{ name: "http", port: 80 }];

const list = (first: number, length: number): { ip: string }[] =>
  Array.from({ length }, (_, at) => ({ ip: `192.0.2.${first + at}` }));

function subsetsOf({ ready, unready }: { ready: number; unready: number }): NonNullable<Endpoints["subsets"]> {
  if (ready + unready === 0) return [];
  return [
    {
      ...(ready === 0 ? {} : { addresses: list(1, ready) }),
      ...(unready === 0 ? {} : { notReadyAddresses: list(100, unready) }),
      ports,
    },
  ];
}

export class RuleWork {
  readonly #world: World;
  readonly #driver: Driver;
  readonly #shape: RuleShape;

  constructor(world: World, driver: Driver, shape: RuleShape) {
    this.#world = world;
    this.#driver = driver;
    this.#shape = shape;
  }

  async run(): Promise<void> {
    await Promise.all([this.#writeEndpoints(), this.#fillQuota(), this.#useRange()]);
  }

  async #writeEndpoints(): Promise<void> {
    const driver = this.#driver;
    const metadata = { name: MIRRORED, namespace: NAMESPACE };
    await driver.create(SERVICES, { metadata, spec: { ports } } as Service);
    await driver.create(ENDPOINTS, { metadata, subsets: [] } as Endpoints);
    for (const next of this.#shape.endpoints) {
      await this.#until(next.atMs);
      await driver.edit(ENDPOINTS, MIRRORED, { subsets: subsetsOf(next) });
    }
  }

  async #fillQuota(): Promise<void> {
    const { secrets, allowed, raiseAtMs } = this.#shape;
    const metadata = { name: QUOTA, namespace: NAMESPACE };
    const spec = { hard: { [COUNTED]: String(allowed) } };
    await this.#driver.create(RESOURCE_QUOTAS, { metadata, spec } as ResourceQuota);
    // Before it has counted, nobody can hold it against anybody.
    const counted = async (): Promise<boolean> => {
      const { status } = await this.#driver.read<ResourceQuota>(RESOURCE_QUOTAS, QUOTA);
      return status?.used?.[COUNTED] !== undefined;
    };
    while (!(await counted())) await this.#world.env.timers.sleep(RETRY_MS);
    const making = Array.from({ length: secrets }, (_, at) =>
      this.#driver.create(SECRETS, { metadata: { name: `secret-${at}`, namespace: NAMESPACE } }),
    );
    await this.#until(raiseAtMs);
    await this.#driver.change(QUOTA, { hard: { [COUNTED]: String(secrets) } }, RESOURCE_QUOTAS);
    await Promise.all(making);
  }

  async #useRange(): Promise<void> {
    const driver = this.#driver;
    const range: ServiceCIDR = { metadata: { name: RANGE }, spec: { cidrs: [CIDR] } };
    await driver.create(SERVICE_CIDRS, range, "");
    const guest: Service = { metadata: { name: GUEST, namespace: NAMESPACE }, spec: { clusterIP: INSIDE, ports } };
    // Until an api-server that is asked knows of the range.
    for (;;) {
      try {
        await driver.create(SERVICES, guest);
        break;
      } catch (error) {
        if (!isReason(error, "Invalid") && !mayHaveLanded(error)) throw error;
      }
      await this.#world.env.timers.sleep(RETRY_MS);
    }
    await this.#until(this.#shape.rangeGoesAtMs);
    await driver.remove(SERVICE_CIDRS, RANGE, "Background", "");
    await this.#until(this.#shape.serviceGoesAtMs);
    await driver.remove(SERVICES, GUEST, "Background");
  }

  #startMs: number | undefined;

  /** Of the user's time. */
  async #until(atMs: number): Promise<void> {
    const { env } = this.#world;
    this.#startMs ??= env.elapsedMs;
    await env.timers.sleep(Math.max(0, this.#startMs + atMs - env.elapsedMs));
  }

  /** What is not as it should be; empty where all is. */
  unconverged(): string[] {
    return [...this.#mirror(), ...this.#quota(), ...this.#range()];
  }

  #mirror(): string[] {
    const { state } = this.#world;
    const sorted = (all: readonly string[]): string => [...all].toSorted((a, b) => (a < b ? -1 : 1)).join(", ");
    const source = state.list<Endpoints>("endpoints").find(({ metadata }) => metadata?.name === MIRRORED);
    const slices = state.list<EndpointSlice>("endpointslices").filter(isMirror);
    const [wanted, got] = [sorted(source === undefined ? [] : saidBy(source)), sorted(slices.flatMap(mirroredIn))];
    return wanted === got ? [] : [`the mirror says ${got}; the Endpoints say ${wanted}`];
  }

  #quota(): string[] {
    const { secrets } = this.#shape;
    const { state } = this.#world;
    const there = state.list("secrets").filter(({ metadata }) => metadata?.namespace === NAMESPACE).length;
    const quota = state.list<ResourceQuota>("resourcequotas").find(({ metadata }) => metadata?.name === QUOTA);
    const used = quota?.status?.used?.[COUNTED];
    return there === secrets && used === String(secrets)
      ? []
      : [`there are ${there} secrets; ${secrets} are wanted, and the quota counts ${used}`];
  }

  #range(): string[] {
    const { state } = this.#world;
    const left = state.list<ServiceCIDR>("servicecidrs").some(({ metadata }) => metadata?.name === RANGE);
    const guest = state.list<Service>("services").some(({ metadata }) => metadata?.name === GUEST);
    return [...(left ? ["the range is still there"] : []), ...(guest ? ["the guest is still there"] : [])];
  }
}
