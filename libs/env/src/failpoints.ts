// Failpoints: named places in the code where a test, the simulator or an operator may inject a fault.
// A fault fires with its probability, at most `count` times, and leaves no trace once healed.
import { FailpointError, type Clock, type Failpoints, type FaultSpec, type Random, type Timers } from "./contract.ts";

interface FailpointDeps {
  readonly random: Random;
  readonly timers: Timers;
  readonly clock: Clock;
  /** What `crash` does; a real process exits at once. */
  readonly crash: (failpoint: string) => void;
}

/** Makes an empty set of failpoints. */
export function createFailpoints(deps: FailpointDeps): Failpoints {
  const armed = new Map<string, FaultSpec[]>();
  const known = new Set<string>();

  function take(name: string): FaultSpec | undefined {
    for (const fault of armed.get(name) ?? []) {
      if (fault.count > 0 && fault.fired >= fault.count) continue;
      if (fault.probability < 1 && deps.random.float() >= fault.probability) continue;
      (fault as { fired: number }).fired++;
      return fault;
    }
    return undefined;
  }

  return {
    armed: (name) => armed.has(name),
    async hit(name) {
      known.add(name);
      if (!armed.has(name)) return;
      const fault = take(name);
      if (fault === undefined) return;
      if (fault.delayMs > 0) await deps.timers.sleep(fault.delayMs);
      if (fault.action === "crash") deps.crash(name);
      if (fault.action === "error") throw new FailpointError(name);
    },
    inject(fault) {
      if (!(fault.probability >= 0 && fault.probability <= 1)) {
        throw new RangeError(`probability: Invalid value: ${fault.probability}: must be in 0..1`);
      }
      const spec: FaultSpec = { ...fault, fired: 0 };
      armed.set(fault.failpoint, [...(armed.get(fault.failpoint) ?? []), spec]);
      return spec;
    },
    heal(id) {
      const healed: FaultSpec[] = [];
      for (const [name, faults] of armed) {
        const kept = faults.filter((fault) => id !== undefined && fault.id !== id);
        healed.push(...faults.filter((fault) => id === undefined || fault.id === id));
        if (kept.length > 0) armed.set(name, kept);
        else armed.delete(name);
      }
      return healed;
    },
    list: () => [...armed.values()].flat(),
    known: () => [...new Set([...known, ...armed.keys()])].toSorted(),
  };
}
