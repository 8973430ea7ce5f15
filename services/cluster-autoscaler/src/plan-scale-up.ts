// Which group grows, by how many nodes, for which pods, and what each pod is told: pure, given where pods would go.
import type { Node, Pod } from "@coxswain/api";
import type { Random } from "@coxswain/env";
import type { NodeGroup } from "./cloud-provider.ts";
import { allocatableOf } from "./node-facts.ts";
import type { Expander } from "./options.ts";
import type { Place, PlacementAnswer } from "./placement.ts";
import { requestsOf, sum } from "./pod-facts.ts";

/** A group, and where the pods would go if it grew. */
export interface GroupOffer {
  readonly group: NodeGroup;
  readonly targetSize: number;
  readonly template: Node | undefined;
  /** One place a pod; undefined where the group was not asked, for the reason in `skipped`. */
  readonly answer?: PlacementAnswer;
  readonly skipped?: string;
}

export interface ScaleUpPlan {
  /** Undefined where no group grows. */
  readonly grow: { readonly group: NodeGroup; readonly from: number; readonly to: number } | undefined;
  readonly triggered: readonly Pod[];
  /** Pods that no group would help, and why: "1 Insufficient cpu, 2 max node group size reached". */
  readonly unhelped: readonly { readonly pod: Pod; readonly message: string }[];
}

export const MAX_SIZE_REACHED = "max node group size reached";
export const IN_BACKOFF = "in backoff after failed scale-up";
export const NO_TEMPLATE = "no template of a node";

const fits = (place: Place | undefined): boolean => place !== undefined && place.node !== "";
const fitsNew = (place: Place | undefined): boolean => fits(place) && place!.copy > 0;

interface Option {
  readonly offer: GroupOffer;
  readonly nodes: number;
  readonly pods: readonly number[];
  /** 0: all that comes is used; 1: nothing is. */
  readonly waste: number;
}

/** `pods` in the order in which they were placed. */
export function planScaleUp(
  pods: readonly Pod[],
  offers: readonly GroupOffer[],
  expander: Expander,
  random: Random,
): ScaleUpPlan {
  // Room on nodes that are there, or on their way, makes others needless. Every answer begins with those.
  const open = pods
    .map((_, at) => at)
    .filter((at) => !offers.some(({ answer }) => fits(answer?.places[at]) && !fitsNew(answer?.places[at])));
  const options = offers.flatMap((offer) => optionOf(offer, pods, open) ?? []);
  const best = choose(options, expander, random);
  const helped = new Set(options.flatMap((option) => option.pods));
  const unhelped = open.filter((at) => !helped.has(at)).map((at) => ({ pod: pods[at]!, message: whyNot(at, offers) }));
  if (best === undefined) return { grow: undefined, triggered: [], unhelped };
  const { group, targetSize } = best.offer;
  const grow = { group, from: targetSize, to: targetSize + best.nodes };
  return { grow, triggered: best.pods.map((at) => pods[at]!), unhelped };
}

function optionOf(offer: GroupOffer, pods: readonly Pod[], open: readonly number[]): Option | undefined {
  const { answer, template, group, targetSize } = offer;
  if (answer === undefined || template === undefined) return undefined;
  const nodes = Math.min(answer.copies, group.maxSize - targetSize);
  const mine = open.filter((at) => fitsNew(answer.places[at]) && answer.places[at]!.copy <= nodes);
  if (nodes <= 0 || mine.length === 0) return undefined;
  const used = mine.map((at) => requestsOf(pods[at]!)).reduce(sum, { cpuMillis: 0, memoryBytes: 0 });
  const whole = allocatableOf(template);
  const share = (amount: number, of: number): number => (of > 0 ? amount / (of * nodes) : 1);
  const waste = 1 - (share(used.cpuMillis, whole.cpuMillis) + share(used.memoryBytes, whole.memoryBytes)) / 2;
  return { offer, nodes, pods: mine, waste };
}

function choose(options: readonly Option[], expander: Expander, random: Random): Option | undefined {
  const cost = ({ waste, pods }: Option): number =>
    expander === "least-waste" ? waste : expander === "most-pods" ? -pods.length : 0;
  const least = Math.min(...options.map(cost));
  const equal = options.filter((option) => cost(option) === least);
  return equal.length < 2 ? equal[0] : equal[random.int(equal.length)];
}

function whyNot(at: number, offers: readonly GroupOffer[]): string {
  const counts = new Map<string, number>();
  for (const { answer, skipped } of offers) {
    const message = answer?.places[at]?.message;
    const reason = skipped ?? (message === undefined || message === "" ? MAX_SIZE_REACHED : message);
    counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  return [...counts]
    .map(([reason, count]) => `${count} ${reason}`)
    .toSorted()
    .join(", ");
}
