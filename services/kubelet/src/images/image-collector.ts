// Removes images that no container of the node uses, where its disk fills up or where they are too old. Guarantees: only images go
// that the kubelet itself pulled, under all of their names, because nobody could get others back; none that a container has, or a
// volume of a pod. A failure is told, and tried again.
import type { Node, Pod } from "@coxswain/api";
import type { Logger, Metrics } from "@coxswain/component-base";
import { isAbort, type Env } from "@coxswain/env";
import type { Cri } from "../cri/contract.ts";
import { parseImageName } from "../cri/image-name.ts";
import {
  agedImages,
  bytesToFree,
  evictionOrder,
  isOldEnough,
  usedPercent,
  type ImagePolicy,
  type ImageUse,
} from "./plan-collection.ts";
import type { PullManager, StoredImage } from "./pull-manager.ts";

/** Upstream's ImageGCPeriod. */
const EVERY_MS = 300_000;

export interface ImageCollectorDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly cri: Pick<Cri, "imageFsInfo" | "listContainers" | "listImages" | "removeImage">;
  readonly pulls: Pick<PullManager, "canBePulledAgain" | "prune">;
  readonly policy: ImagePolicy;
  /** Pods of the node. */
  readonly pods: () => readonly Pod[];
  readonly node: () => Node | undefined;
  readonly warn: (node: Node, reason: string, message: string) => void;
  readonly collected?: { inc(labels: { reason: string }): void };
  /** How often it looks; 5 minutes where unset. */
  readonly everyMs?: number;
}

type Listed = StoredImage & { readonly sizeBytes: number };

/** The counter of images that went, as upstream names it. */
export function collectedCounter(metrics: Metrics): NonNullable<ImageCollectorDeps["collected"]> {
  const help = "Images that the kubelet removed, by the reason: age or space.";
  return metrics.counter("kubelet_image_garbage_collected_total", help, ["reason"]);
}

export class ImageCollector {
  readonly #deps: ImageCollectorDeps;
  readonly #bornMs: number;
  readonly #seen = new Map<string, { readonly detectedAtMs: number; usedAtMs: number }>();
  #failed = false;

  constructor(deps: ImageCollectorDeps) {
    this.#deps = deps;
    this.#bornMs = deps.env.clock.now();
  }

  /** Until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { env, everyMs = EVERY_MS } = this.#deps;
    try {
      while (!signal.aborted) {
        await this.#tryOnce();
        await env.timers.sleep(everyMs, signal);
      }
    } catch (error) {
      if (!isAbort(error) || !signal.aborted) throw error;
    }
  }

  /** One failure may be a start that is not over: only a second one in a row is an event. */
  async #tryOnce(): Promise<void> {
    const { logger, warn, node } = this.#deps;
    try {
      await this.collect();
      this.#failed = false;
    } catch (error) {
      logger.warn({ err: error }, "images could not be collected");
      const known = node();
      if (this.#failed && known !== undefined) warn(known, "ImageGCFailed", (error as Error).message);
      this.#failed = true;
    }
  }

  /** Looks once, and removes what must go. Throws where too little could. */
  async collect(): Promise<void> {
    const { cri, env, policy, pulls } = this.#deps;
    const nowMs = env.clock.now();
    const listed = await cri.listImages();
    const images = await this.#look(listed, nowMs);
    const left = new Set(listed.map(({ id }) => id));
    const order = evictionOrder(images);
    const errors: unknown[] = [];
    for (const image of agedImages(order, policy, nowMs, this.#bornMs)) {
      await this.#remove(image, "age", left).catch((error: unknown) => errors.push(error));
    }
    await this.#makeRoom(
      order.filter(({ id }) => left.has(id)),
      nowMs,
      left,
      errors,
    );
    await pulls.prune(left, nowMs);
    if (errors.length > 0)
      throw new AggregateError(errors, `images could not be removed: ${errors.map(String).join("; ")}`);
  }

  async #makeRoom(order: readonly ImageUse[], nowMs: number, left: Set<string>, errors: unknown[]): Promise<void> {
    const { cri, logger, policy, node, warn } = this.#deps;
    const disk = await cri.imageFsInfo?.();
    if (disk === undefined) return;
    if (disk.capacityBytes === 0) throw new Error("invalid capacity 0 on image filesystem");
    const wanted = bytesToFree(disk, policy);
    if (wanted === 0) return;
    logger.info(
      { used: usedPercent(disk), wanted },
      "the disk of images is filling up; removing images that nobody uses",
    );
    let freed = 0;
    for (const image of order) {
      if (freed >= wanted) break;
      if (!isOldEnough(image, policy, nowMs)) continue;
      try {
        await this.#remove(image, "space", left);
        freed += image.sizeBytes;
      } catch (error) {
        errors.push(error);
      }
    }
    if (freed >= wanted || errors.length > 0) return;
    const message =
      `Insufficient free disk space on the node's image filesystem (${usedPercent(disk)}% of ${sizeText(disk.capacityBytes)} used). ` +
      `Failed to free sufficient space by deleting unused images (freed ${freed} bytes). ` +
      "Investigate disk usage, as it could be used by active images, logs, volumes, or other data.";
    const known = node();
    if (known !== undefined) warn(known, "FreeDiskSpaceFailed", message);
    errors.push(new Error(message));
  }

  async #remove({ id, sizeBytes }: ImageUse, reason: "age" | "space", left: Set<string>): Promise<void> {
    const { cri, collected, logger } = this.#deps;
    await cri.removeImage(id);
    left.delete(id);
    this.#seen.delete(id);
    collected?.inc({ reason });
    logger.info({ image: id, bytes: sizeBytes, reason }, "removed an image that nobody uses");
  }

  /** The images that may go, and those in use among them, as far as was seen. */
  async #look(listed: readonly Listed[], nowMs: number): Promise<ImageUse[]> {
    const { cri, pods, pulls } = this.#deps;
    const used = new Set<string>();
    for (const { imageRef, config } of await cri.listContainers()) used.add(imageRef).add(nameOf(config.image));
    for (const { spec } of pods()) {
      for (const { image } of spec?.volumes ?? []) if (image?.reference) used.add(nameOf(image.reference));
    }
    const present = new Set(listed.map(({ id }) => id));
    for (const id of this.#seen.keys()) if (!present.has(id)) this.#seen.delete(id);
    const images: ImageUse[] = [];
    for (const image of listed) {
      const { id, names, sizeBytes } = image;
      const seen = this.#seen.get(id) ?? { detectedAtMs: nowMs, usedAtMs: 0 };
      this.#seen.set(id, seen);
      const inUse = used.has(id) || names.some((name) => used.has(name));
      if (inUse) seen.usedAtMs = nowMs;
      if (await pulls.canBePulledAgain(image)) images.push({ id, sizeBytes, inUse, ...seen });
    }
    return images;
  }
}

const nameOf = (image: string): string => parseImageName(image)?.full ?? image;

const UNITS = ["KiB", "MiB", "GiB"];

function sizeText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  let value = bytes;
  for (const unit of UNITS) {
    value /= 1024;
    if (value < 1024) return `${value.toFixed(1)} ${unit}`;
  }
  return `${(value / 1024).toFixed(1)} TiB`;
}
