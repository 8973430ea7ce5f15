// What goes on with disks that have to be attached and with a machine that is lost: a pod that takes its disk from node to node, the
// driver's attacher that does what VolumeAttachments ask for, and pods on a node that a person has declared out of service.
import {
  CSI_DRIVERS,
  DEPLOYMENTS,
  NODES,
  PERSISTENT_VOLUME_CLAIMS,
  PERSISTENT_VOLUMES,
  PODS,
  VOLUME_ATTACHMENTS,
  type Deployment,
  type Node,
  type PersistentVolume,
  type PersistentVolumeClaim,
  type Pod,
  type VolumeAttachment,
} from "@coxswain/api";
import { isReason, mayHaveLanded, type KubeObject } from "@coxswain/apimachinery";
import type { Random } from "@coxswain/env";
import { isReady } from "./cluster-state.ts";
import { imageOf, NAMESPACE, type Driver } from "./driver.ts";
import type { World } from "./world.ts";

export interface DiskShape {
  /** When the disk's pod has to move, each time to the next node. */
  readonly movesAtMs: readonly number[];
  /** How often the attacher looks. */
  readonly attachEveryMs: number;
  /** When the pod on the lost node is given up. */
  readonly giveUpAtMs: number;
}

export function planDisks(random: Random, withinMs: number): DiskShape {
  const moves = Array.from({ length: 1 + random.int(3) }, () => random.int(withinMs));
  return {
    movesAtMs: moves.toSorted((a, b) => a - b),
    attachEveryMs: 250 + random.int(1_500),
    giveUpAtMs: random.int(withinMs / 2),
  };
}

const NAME = "disk";
const DRIVER = "disk.example";
const FINALIZER = "external-attacher/disk-example";
const LOST = "lost-node";
const OUT_OF_SERVICE = "node.kubernetes.io/out-of-service";
const HOST = "kubernetes.io/hostname";
const MERGE = "application/merge-patch+json";

const SIZE = { storage: "1Gi" };

function volume(): PersistentVolume {
  return {
    metadata: { name: NAME },
    spec: {
      capacity: SIZE,
      accessModes: ["ReadWriteOnce"],
      persistentVolumeReclaimPolicy: "Retain",
      storageClassName: "",
      csi: { driver: DRIVER, volumeHandle: NAME },
      claimRef: { name: NAME, namespace: NAMESPACE },
    },
  };
}

function claim(): PersistentVolumeClaim {
  return {
    metadata: { name: NAME, namespace: NAMESPACE },
    spec: { accessModes: ["ReadWriteOnce"], resources: { requests: SIZE }, storageClassName: "", volumeName: NAME },
  };
}

function user(node: string): Deployment {
  const labels = { disk: NAME };
  return {
    metadata: { name: NAME, namespace: NAMESPACE },
    spec: {
      replicas: 1,
      strategy: { type: "Recreate" },
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: {
          nodeSelector: { [HOST]: node },
          terminationGracePeriodSeconds: 1,
          containers: [{ name: "main", image: imageOf(1), volumeMounts: [{ name: NAME, mountPath: "/disk" }] }],
          volumes: [{ name: NAME, persistentVolumeClaim: { claimName: NAME } }],
        },
      },
    },
  };
}

/** It was there before, and its machine is not. */
function lostNode(): Node {
  const taints = ["NoSchedule", "NoExecute"].map((effect) => ({ key: OUT_OF_SERVICE, value: "gone", effect }));
  return { metadata: { name: LOST, labels: { [HOST]: LOST } }, spec: { taints } };
}

/** It bears with everything, so that nobody else takes it away. */
function lostPod(name: string): Pod {
  return {
    metadata: { name, namespace: NAMESPACE },
    spec: {
      nodeName: LOST,
      terminationGracePeriodSeconds: 1,
      tolerations: [{ operator: "Exists" }],
      containers: [{ name: "main", image: imageOf(1) }],
    },
  };
}

const named =
  (name: string) =>
  ({ metadata }: KubeObject): boolean =>
    metadata?.name === name;

export class DiskWork {
  readonly #world: World;
  readonly #driver: Driver;
  readonly #shape: DiskShape;

  constructor(world: World, driver: Driver, shape: DiskShape) {
    this.#world = world;
    this.#driver = driver;
    this.#shape = shape;
  }

  /** Never ends: it is the driver's, not the user's. */
  async attach(): Promise<void> {
    const { process, client } = this.#world.admin("attacher", "api-server-2");
    for (;;) {
      await process.env.timers.sleep(this.#shape.attachEveryMs);
      try {
        const { items } = await client.list<VolumeAttachment>(VOLUME_ATTACHMENTS);
        for (const one of items) await this.#serve(client, one);
      } catch (error) {
        if (!mayHaveLanded(error) && !isReason(error, "Conflict", "NotFound", "Forbidden")) throw error;
      }
    }
  }

  async #serve(client: ReturnType<World["admin"]>["client"], { metadata, status }: VolumeAttachment): Promise<void> {
    const { name = "", resourceVersion, finalizers = [] } = metadata ?? {};
    const patch = (change: object, subresource?: string): Promise<unknown> =>
      client.patch(VOLUME_ATTACHMENTS, { name }, MERGE, change, subresource === undefined ? {} : { subresource });
    const held = finalizers.includes(FINALIZER);
    if (metadata?.deletionTimestamp !== undefined) {
      if (held) await patch({ metadata: { resourceVersion, finalizers: null } });
    } else if (!held) await patch({ metadata: { resourceVersion, finalizers: [FINALIZER] } });
    else if (status?.attached !== true) await patch({ status: { attached: true } }, "status");
  }

  async run(): Promise<void> {
    await Promise.all([this.#move(), this.#lose()]);
  }

  /** Where the disk has to be in the end. */
  get #place(): string {
    const { nodeNames } = this.#world;
    return nodeNames[this.#shape.movesAtMs.length % nodeNames.length]!;
  }

  async #move(): Promise<void> {
    const { env, nodeNames } = this.#world;
    const startMs = env.elapsedMs;
    await this.#driver.create(
      CSI_DRIVERS,
      { metadata: { name: DRIVER }, spec: { attachRequired: true } } as KubeObject,
      "",
    );
    await this.#driver.create(PERSISTENT_VOLUMES, volume(), "");
    await this.#driver.create(PERSISTENT_VOLUME_CLAIMS, claim());
    await this.#driver.create(DEPLOYMENTS, user(nodeNames[0]!));
    for (const [at, atMs] of this.#shape.movesAtMs.entries()) {
      await env.timers.sleep(Math.max(0, startMs + atMs - env.elapsedMs));
      const nodeSelector = { [HOST]: nodeNames[(at + 1) % nodeNames.length]! };
      await this.#driver.change(NAME, { template: { spec: { nodeSelector } } });
    }
  }

  async #lose(): Promise<void> {
    await this.#driver.create(NODES, lostNode(), "");
    for (const name of ["given-up", "hoped-for"]) await this.#driver.create(PODS, lostPod(name));
    await this.#world.env.timers.sleep(this.#shape.giveUpAtMs);
    await this.#driver.remove(PODS, "given-up", "Background");
  }

  /** What is not as it should be; empty where all is. */
  unconverged(): string[] {
    return [...this.#moved(), ...this.#lost()];
  }

  #moved(): string[] {
    const { state, nodeNames } = this.#world;
    const pods = state.pods.filter((pod) => pod.metadata?.labels?.["disk"] === NAME);
    const there = pods.filter((pod) => isReady(pod) && pod.spec?.nodeName === this.#place);
    const wrong: string[] = [];
    if (pods.length !== 1 || there.length !== 1) {
      wrong.push(`${there.length} of ${pods.length} pods with the disk are ready on ${this.#place}`);
    }
    const attachments = state.list<VolumeAttachment>("volumeattachments");
    const at = attachments.map(({ spec, status }) => `${spec.nodeName}${status?.attached === true ? "" : " not yet"}`);
    if (at.join() !== this.#place) wrong.push(`the disk is attached to ${at.join()}, not ${this.#place}`);
    const told = nodeNames.filter((name) => {
      const { status } = state.nodes.find(named(name)) ?? {};
      return (status?.volumesAttached ?? []).length > 0;
    });
    if (told.join() !== this.#place) wrong.push(`nodes ${told.join()} are told that they have the disk`);
    return wrong;
  }

  #lost(): string[] {
    const pods = this.#world.state.pods.filter((pod) => pod.spec?.nodeName === LOST);
    const shown = pods.map(({ metadata, status }) => `${metadata?.name} ${status?.phase}`).join();
    const kept =
      pods.length === 1 && named("hoped-for")(pods[0]!) && pods[0]!.metadata?.deletionTimestamp === undefined;
    return kept ? [] : [`the lost node has ${shown || "no pods"}`];
  }
}
