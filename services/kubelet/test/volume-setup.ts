// A kubelet's volumes in a temporary folder, over the in-memory cluster: the setting of the volume tests.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SERVICE_ACCOUNTS, type Pod, type TokenRequest, type Volume, type VolumeMount } from "@coxswain/api";
import { formatTime } from "@coxswain/apimachinery";
import type { ResourceClient } from "@coxswain/client";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { silentLogger } from "@coxswain/component-base";
import { createRealEnv, type Env } from "@coxswain/env";
import { ObjectCache } from "../src/pods/object-cache.ts";
import { createHostVolumes } from "../src/volumes/host-volumes.ts";
import type { Mounter } from "../src/volumes/mounter.ts";
import { ServiceAccountTokens } from "../src/volumes/service-account-tokens.ts";

/** Remembers what it was told to mount. */
export function fakeMounter() {
  const points: string[] = [];
  const tmpfs = new Map<string, number | undefined>();
  const mounter: Mounter = {
    mount: async (_call, target) => void points.push(target),
    isReadOnly: async () => true,
    mountTmpfs: async (dir, sizeBytes) => {
      points.push(dir);
      tmpfs.set(dir, sizeBytes);
    },
    bindDescriptor: async (_descriptor, target) => void points.push(target),
    unmount: async (paths) => {
      for (const path of paths) points.splice(points.indexOf(path), 1);
    },
    mountsBelow: async (path) => points.filter((point) => point === path || point.startsWith(`${path}/`)).toReversed(),
  };
  return { mounter, points, tmpfs };
}

export interface VolumeSettingOptions {
  readonly mounter: Mounter;
}

export async function volumeSetting({ mounter }: VolumeSettingOptions) {
  const rootDir = await mkdtemp(join(tmpdir(), "cox-volumes-"));
  const real = createRealEnv();
  let skippedMs = 0;
  const clock = { now: () => real.clock.now() + skippedMs, monotonic: () => real.clock.monotonic() + skippedMs };
  const env: Env = { ...real, clock };
  const cluster = createMemoryCluster({ env });
  const requests: TokenRequest[] = [];
  const client = cluster.client();
  const issuer: ResourceClient = Object.create(client, {
    create: {
      value: async (ref: typeof SERVICE_ACCOUNTS, request: TokenRequest) => {
        if (ref !== SERVICE_ACCOUNTS) throw new Error("tokens only");
        requests.push(request);
        const seconds = request.spec.expirationSeconds ?? 0;
        const expirationTimestamp = formatTime(clock.now() + seconds * 1000);
        return { ...request, status: { token: `token-${requests.length}`, expirationTimestamp } };
      },
    },
  });
  const volumes = createHostVolumes({
    env,
    logger: silentLogger,
    rootDir,
    objects: new ObjectCache(client, clock),
    tokens: new ServiceAccountTokens(issuer, clock),
    mounter,
    allocatable: { cpu: "4", memory: "1Gi" },
    clusterDomain: "cluster.local",
  });
  return {
    rootDir,
    cluster,
    volumes,
    requests,
    /** Lets time go by, for those who ask for it. */
    skip: (ms: number) => void (skippedMs += ms),
    path: (uid: string, kind: string, name: string) => `${rootDir}/pods/${uid}/volumes/kubernetes.io~${kind}/${name}`,
    end: () => rm(rootDir, { recursive: true, force: true }),
  };
}

export type VolumeSetting = Awaited<ReturnType<typeof volumeSetting>>;

/** A pod with these volumes, each mounted at /NAME. */
export function podWith(volumes: readonly Volume[], spec: Partial<NonNullable<Pod["spec"]>> = {}): Pod {
  const volumeMounts: VolumeMount[] = volumes.map(({ name }) => ({ name, mountPath: `/${name}` }));
  return {
    metadata: { name: "web", namespace: "default", uid: "u-1", labels: { app: "shop" }, annotations: {} },
    spec: { containers: [{ name: "c", image: "x", volumeMounts }], volumes: [...volumes], ...spec },
  };
}
