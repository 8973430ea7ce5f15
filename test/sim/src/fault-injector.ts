// Does to the world what the plan says, and heals it.
import type { Fault, FaultKind } from "./fault-plan.ts";
import type { World } from "./world.ts";

/** After a fault on a node its pods' readiness may still change for this long. */
const NODE_UNREST_MS = 75_000;

const FAILPOINTS: Partial<Record<FaultKind, string>> = {
  "failed-commits": "storage.commit",
  "lost-commit-replies": "storage.commit.reply",
  "cut-storage-watches": "storage.watch",
};

export class FaultInjector {
  readonly #world: World;
  #injected = 0;
  #nextId = 0;

  constructor(world: World) {
    this.#world = world;
  }

  get injected(): number {
    return this.#injected;
  }

  inject(fault: Fault): void {
    const world = this.#world;
    const what = [fault.kind, fault.target, fault.forMs > 0 ? `for ${fault.forMs} ms` : ""].filter(
      (part) => part !== "",
    );
    world.note(`fault ${what.join(" ")}`);
    this.#injected++;
    if (fault.target.startsWith("kubelet")) {
      world.checker.availability.disturb(world.env.elapsedMs + fault.forMs + NODE_UNREST_MS);
    }
    const heal = this.#apply(fault);
    if (heal === undefined) return;
    world.env.timers.setTimeout(() => {
      world.note(`healed ${fault.kind} ${fault.target}`.trimEnd());
      heal();
    }, fault.forMs);
  }

  /** Returns what ends it; undefined where nothing has to. */
  #apply(fault: Fault): (() => void) | undefined {
    const { kind, target, strength } = fault;
    const { network, store, hub, endpoints, supervisor } = this.#world;
    const failpoint = FAILPOINTS[kind];
    if (failpoint !== undefined) return this.#arm(failpoint, strength);
    switch (kind) {
      case "kill":
        supervisor.kill(target);
        return undefined;
      case "freeze":
        return this.#freeze(target);
      case "lossy-edge":
        network.setFaults(target, { loseCalls: strength / 2, loseAnswers: strength / 2 });
        return () => network.heal(target);
      case "cut-connections":
        endpoints.cutConnections(target);
        return undefined;
      case "lose-messages":
        hub.loseNext(strength, "kube.>");
        return undefined;
      case "bus-outage":
        hub.disconnect();
        return () => hub.reconnect();
      case "storage-outage":
        store.disconnect();
        return () => store.reconnect();
      case "failed-commits":
      case "lost-commit-replies":
      case "cut-storage-watches":
      default:
        throw new Error(`nobody injects ${kind}`);
    }
  }

  #arm(failpoint: string, probability: number): () => void {
    const { failpoints } = this.#world.env;
    const id = `fault-${this.#nextId++}`;
    failpoints.inject({ id, failpoint, action: "error", delayMs: 0, probability, count: 0 });
    return () => void failpoints.heal(id);
  }

  #freeze(target: string): (() => void) | undefined {
    const { supervisor, endpoints } = this.#world;
    const process = supervisor.process(target);
    if (process === undefined || process.frozen) return undefined;
    process.freeze();
    endpoints.watchFrozen(target);
    return () => {
      endpoints.thawed(target);
      process.thaw();
    };
  }
}
