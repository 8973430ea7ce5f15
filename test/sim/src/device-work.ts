// What the user does with devices, beside the application: each node has a few, pods get one each by claims from a template, there
// are more pods than devices for a while, and what is given back is given again.
import {
  DEPLOYMENTS,
  DEVICE_CLASSES,
  RESOURCE_CLAIM_TEMPLATES,
  RESOURCE_SLICES,
  type Deployment,
  type DeviceClass,
  type DeviceResourceClaim,
  type Pod,
  type ResourceSlice,
} from "@coxswain/api";
import type { Random } from "@coxswain/env";
import { isReady } from "./cluster-state.ts";
import { imageOf, NAMESPACE, type Driver } from "./driver.ts";
import type { World } from "./world.ts";

export interface DeviceShape {
  /** Of each node. */
  readonly devices: number;
  /** How many more pods than devices are wanted at first; none in the end. */
  readonly surplus: number;
  /** When each later wish comes, and how many pods it is below the number of devices. */
  readonly later: readonly { readonly atMs: number; readonly below: number; readonly revision: number }[];
}

export function planDevices(random: Random, withinMs: number): DeviceShape {
  const times = Array.from({ length: 1 + random.int(2) }, () => random.int(withinMs)).toSorted((a, b) => a - b);
  return {
    devices: 1 + random.int(2),
    surplus: random.int(3),
    later: times.map((atMs, at) => ({ atMs, below: random.int(2), revision: at + 2 })),
  };
}

const NAME = "trainer";
const CLASS = "gpu";
const DRIVER = "gpu.example.com";

function slice(nodeName: string, count: number): ResourceSlice {
  const devices = Array.from({ length: count }, (_, at) => ({ name: `gpu-${at}` }));
  const pool = { name: nodeName, generation: 1, resourceSliceCount: 1 };
  return { metadata: { name: `gpus-of-${nodeName}` }, spec: { driver: DRIVER, nodeName, pool, devices } };
}

function trainers(replicas: number): Deployment {
  const labels = { trainer: NAME };
  const resources = { requests: { cpu: "1m" }, claims: [{ name: "gpu" }] };
  return {
    metadata: { name: NAME, namespace: NAMESPACE },
    spec: {
      replicas,
      // A new pod needs the device of an old one.
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 0, maxUnavailable: "100%" } },
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          terminationGracePeriodSeconds: 2,
          resourceClaims: [{ name: "gpu", resourceClaimTemplateName: NAME }],
          containers: [{ name: "main", image: imageOf(1), resources }],
        },
      },
    },
  };
}

export class DeviceWork {
  readonly #world: World;
  readonly #driver: Driver;
  readonly #shape: DeviceShape;

  constructor(world: World, driver: Driver, shape: DeviceShape) {
    this.#world = world;
    this.#driver = driver;
    this.#shape = shape;
  }

  get #all(): number {
    return this.#shape.devices * this.#world.nodeNames.length;
  }

  async run(): Promise<void> {
    const { devices, surplus, later } = this.#shape;
    const { env, nodeNames } = this.#world;
    const startMs = env.elapsedMs;
    const selectors = [{ cel: { expression: `device.driver == "${DRIVER}"` } }];
    const deviceClass: DeviceClass = { metadata: { name: CLASS }, spec: { selectors } };
    await this.#driver.create(DEVICE_CLASSES, deviceClass, "");
    for (const node of nodeNames) await this.#driver.create(RESOURCE_SLICES, slice(node, devices), "");
    const requests = [{ name: "gpu", exactly: { deviceClassName: CLASS } }];
    const template = { metadata: { name: NAME, namespace: NAMESPACE }, spec: { spec: { devices: { requests } } } };
    await this.#driver.create(RESOURCE_CLAIM_TEMPLATES, template);
    await this.#driver.create(DEPLOYMENTS, trainers(this.#all + surplus));
    for (const { atMs, below, revision } of later) {
      await env.timers.sleep(Math.max(0, startMs + atMs - env.elapsedMs));
      const containers = [{ name: "main", image: imageOf(revision) }];
      await this.#driver.change(NAME, { replicas: this.#all - below, template: { spec: { containers } } });
    }
  }

  /** What is not as it should be; empty where all is. */
  unconverged(): string[] {
    const { state } = this.#world;
    const wanted = this.#all - this.#shape.later.at(-1)!.below;
    const pods = state.pods.filter(({ metadata }) => metadata?.labels?.["trainer"] === NAME);
    const ready = pods.filter(isReady);
    const wrong: string[] = [];
    if (ready.length !== wanted || pods.length !== wanted) {
      wrong.push(`${ready.length} of ${pods.length} trainers are ready; ${wanted} are wanted`);
    }
    const claims = state.list<DeviceResourceClaim>("resourceclaims");
    if (claims.length !== wanted) wrong.push(`${claims.length} claims for ${wanted} trainers`);
    return [...wrong, ...pods.flatMap((pod) => this.#misfit(pod, claims))];
  }

  /** Each pod has one claim of its own, reserved for it alone, with a device of its node. */
  #misfit({ metadata, spec, status }: Pod, claims: readonly DeviceResourceClaim[]): string[] {
    const name = status?.resourceClaimStatuses?.[0]?.resourceClaimName;
    const claim = claims.find((one) => one.metadata?.name === name);
    const consumers = (claim?.status?.reservedFor ?? []).map(({ uid }) => uid).join();
    const [device] = claim?.status?.allocation?.devices?.results ?? [];
    if (consumers === metadata?.uid && device?.pool === spec?.nodeName) return [];
    return [
      `${metadata?.name} on ${spec?.nodeName} has claim ${name}, of ${consumers}, with a device of ${device?.pool}`,
    ];
  }
}
