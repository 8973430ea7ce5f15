// What the scheduler knows of storage: claims, volumes, classes, and what its own decisions have taken already. Guarantees:
// - What is assumed counts until the api-server shows a newer version of the object, or the assumption is taken back: two pods
//   never get one volume, and pods that share a claim go to one node.
// - Whoever waits for a change is told of every one.
import type {
  CSIDriver,
  CSINode,
  CSIStorageCapacity,
  PersistentVolume,
  PersistentVolumeClaim,
  StorageClass,
  VolumeAttachment,
} from "@coxswain/api";
import { classOf } from "@coxswain/api/core-v1/persistent-volume/binding";
import { compareResourceVersions, type KubeObject } from "@coxswain/apimachinery";

/** How PreBind tells the api-server what was decided. */
export interface VolumeWriter {
  writeVolume(volume: PersistentVolume): Promise<PersistentVolume>;
  writeClaim(claim: PersistentVolumeClaim): Promise<PersistentVolumeClaim>;
  /** Aborts after ms, or with the signal. */
  deadline(ms: number, signal: AbortSignal): AbortSignal;
}

const versionOf = (object: KubeObject): string => object.metadata?.resourceVersion ?? "0";
const isNewer = (object: KubeObject, than: KubeObject): boolean =>
  compareResourceVersions(versionOf(object), versionOf(than)) > 0;

/** Objects by key, with assumptions on top. */
export class AssumedObjects<T extends KubeObject> {
  readonly #known = new Map<string, T>();
  readonly #assumed = new Map<string, T>();

  get(key: string): T | undefined {
    return this.#assumed.get(key) ?? this.#known.get(key);
  }
  /** As the api-server last showed it. */
  shown(key: string): T | undefined {
    return this.#known.get(key);
  }
  set(key: string, object: T | undefined): void {
    const assumed = this.#assumed.get(key);
    if (assumed !== undefined && (object === undefined || isNewer(object, assumed))) this.#assumed.delete(key);
    if (object === undefined) this.#known.delete(key);
    else this.#known.set(key, object);
  }
  assume(key: string, object: T): void {
    this.#assumed.set(key, object);
  }
  /** Back to what the api-server shows. */
  restore(key: string): void {
    this.#assumed.delete(key);
  }
}

export class ClusterVolumes {
  readonly claims = new AssumedObjects<PersistentVolumeClaim>();
  readonly volumes = new AssumedObjects<PersistentVolume>();
  readonly classes = new Map<string, StorageClass>();
  readonly drivers = new Map<string, CSIDriver>();
  readonly csiNodes = new Map<string, CSINode>();
  readonly capacities = new Map<string, CSIStorageCapacity>();
  readonly attachments = new Map<string, VolumeAttachment>();
  readonly #namesByClass = new Map<string, Set<string>>();
  readonly #waiting = new Set<() => void>();
  #writer: VolumeWriter | undefined;

  connect(writer: VolumeWriter): void {
    this.#writer = writer;
  }
  get writer(): VolumeWriter {
    if (this.#writer === undefined) throw new Error("nobody can write volumes here");
    return this.#writer;
  }

  setVolume(name: string, volume: PersistentVolume | undefined): void {
    const before = this.volumes.shown(name);
    if (before !== undefined) this.#namesByClass.get(classOf(before))?.delete(name);
    if (volume !== undefined) {
      const names = this.#namesByClass.get(classOf(volume)) ?? new Set<string>();
      this.#namesByClass.set(classOf(volume), names.add(name));
    }
    this.volumes.set(name, volume);
    this.#tell();
  }

  setClaim(key: string, claim: PersistentVolumeClaim | undefined): void {
    this.claims.set(key, claim);
    this.#tell();
  }

  /** The volumes of a class, as assumed. */
  ofClass(name: string): PersistentVolume[] {
    return [...(this.#namesByClass.get(name) ?? [])].flatMap((volume) => this.volumes.get(volume) ?? []);
  }

  /** Resolves at the next change of a claim or volume; rejects with AbortError on abort. */
  async changed(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => reject(signal.reason as Error);
    this.#waiting.add(resolve);
    signal.addEventListener("abort", abort, { once: true });
    try {
      await promise;
    } finally {
      this.#waiting.delete(resolve);
      signal.removeEventListener("abort", abort);
    }
  }

  #tell(): void {
    for (const resolve of this.#waiting) resolve();
  }
}
