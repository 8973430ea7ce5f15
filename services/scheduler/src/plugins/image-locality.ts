// Score: nodes that have the pod's images already, the more of their bytes the better. An image that few nodes have counts
// less, so that not all pods of a workload go to the node that pulled it first.
import type { Pod } from "@coxswain/api";
import { MAX_NODE_SCORE, type CycleState, type Plugin } from "../framework/contract.ts";
import type { ImageState } from "../snapshot/image-states.ts";

const MB = 1024 * 1024;
/** Fewer bytes than this count for nothing. */
const MIN_BYTES = 23 * MB;
/** More than this, for each container, count for no more. */
const MAX_BYTES_A_CONTAINER = 1000 * MB;

/** With the tag that a name without one means. */
export function normalizedImageName(name: string): string {
  return name.lastIndexOf(":") <= name.lastIndexOf("/") ? `${name}:latest` : name;
}

function imagesOf({ spec }: Pod): string[] {
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  return containers.flatMap(({ image }) => (image ? [normalizedImageName(image)] : []));
}

function scaled({ size, nodes }: ImageState, all: number): number {
  return Math.trunc(size * (nodes.size / all));
}

function knownImages({ info, snapshot }: CycleState): ImageState[] {
  if (snapshot.images.size === 0) return [];
  return imagesOf(info.pod).flatMap((image) => snapshot.images.get(image) ?? []);
}

export const imageLocality: Plugin = {
  name: "ImageLocality",
  scoresNothing: (cycle) => knownImages(cycle).length === 0,
  preScore(cycle) {
    return knownImages(cycle).length === 0 ? 0 : undefined;
  },
  score(cycle, rows, count, scores) {
    const { snapshot, info } = cycle;
    const bytes = new Float64Array(snapshot.size);
    for (const image of knownImages(cycle)) {
      for (const node of image.nodes) {
        const row = snapshot.rowOf(node);
        if (row >= 0) bytes[row]! += scaled(image, snapshot.size);
      }
    }
    const containers = (info.pod.spec?.initContainers?.length ?? 0) + (info.pod.spec?.containers.length ?? 0);
    const most = MAX_BYTES_A_CONTAINER * Math.max(1, containers);
    for (let at = 0; at < count; at++) {
      const counted = Math.min(most, Math.max(MIN_BYTES, bytes[rows[at]!]!));
      scores[at] = Math.trunc((MAX_NODE_SCORE * (counted - MIN_BYTES)) / (most - MIN_BYTES));
    }
  },
};
