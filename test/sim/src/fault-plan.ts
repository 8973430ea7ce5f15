// Which faults a run meets, and when: drawn from the seed, decided before the run begins. Pure.
import type { Random } from "@coxswain/env";

export type FaultKind =
  | "kill"
  | "freeze"
  | "lossy-edge"
  | "cut-connections"
  | "lose-messages"
  | "bus-outage"
  | "storage-outage"
  | "failed-commits"
  | "lost-commit-replies"
  | "cut-storage-watches";

export interface Fault {
  readonly atMs: number;
  readonly kind: FaultKind;
  /** A process; empty where the fault has none. */
  readonly target: string;
  /** How long it lasts; 0 for what happens in a moment. */
  readonly forMs: number;
  /** In [0, 1], or a count of messages. */
  readonly strength: number;
}

export interface FaultPlanInput {
  readonly random: Random;
  readonly fromMs: number;
  readonly untilMs: number;
  /** When the user wants something: half of the faults strike within seconds of it. */
  readonly busyMs: readonly number[];
  readonly count: number;
  readonly controlPlane: readonly string[];
  readonly apiServers: readonly string[];
  readonly nodePrograms: readonly string[];
  /** False leaves the nodes alone, so that availability is promised throughout. */
  readonly nodeFaults: boolean;
}

/** Kind, weight, and the longest that it lasts, ms. A leader's lease is 15 s: a freeze may outlast it. */
const KINDS: readonly (readonly [FaultKind, number, number])[] = [
  ["kill", 8, 0],
  ["freeze", 5, 25_000],
  ["lossy-edge", 5, 12_000],
  ["cut-connections", 2, 0],
  ["lose-messages", 4, 0],
  ["bus-outage", 2, 20_000],
  ["storage-outage", 1, 8_000],
  ["failed-commits", 2, 5_000],
  ["lost-commit-replies", 3, 5_000],
  ["cut-storage-watches", 1, 3_000],
];

const BUSY_FOR_MS = 8_000;

function pickKind(random: Random): (typeof KINDS)[number] {
  let draw = random.int(KINDS.reduce((sum, [, weight]) => sum + weight, 0));
  for (const kind of KINDS) {
    draw -= kind[1];
    if (draw < 0) return kind;
  }
  throw new Error("weights do not add up");
}

function targetOf(kind: FaultKind, input: FaultPlanInput): string {
  const { random, controlPlane, apiServers, nodePrograms, nodeFaults } = input;
  if (kind === "cut-connections") return apiServers[random.int(apiServers.length)]!;
  const clients = [...controlPlane, ...(nodeFaults ? nodePrograms : [])];
  // Edges are those of clients.
  const eligible = kind === "lossy-edge" ? clients.filter((name) => !apiServers.includes(name)) : clients;
  return ["kill", "freeze", "lossy-edge"].includes(kind) ? eligible[random.int(eligible.length)]! : "";
}

/** In order of time. */
export function planFaults(input: FaultPlanInput): Fault[] {
  const { random, fromMs, untilMs, count } = input;
  const faults = Array.from({ length: count }, (): Fault => {
    const [kind, , longestMs] = pickKind(random);
    const target = targetOf(kind, input);
    const forMs = longestMs === 0 ? 0 : 500 + random.int(longestMs - 500);
    const near = input.busyMs[random.int(input.busyMs.length)]! + random.int(BUSY_FOR_MS);
    const anywhere = fromMs + random.int(untilMs - fromMs);
    const atMs = random.int(2) === 0 ? Math.min(near, untilMs) : anywhere;
    const strength = kind === "lose-messages" ? 1 + random.int(6) : 0.1 + random.float() * 0.5;
    return { atMs, kind, target, forMs, strength };
  });
  return faults.toSorted((a, b) => a.atMs - b.atMs);
}
