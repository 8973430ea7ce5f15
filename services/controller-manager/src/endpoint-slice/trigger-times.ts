// When the change happened that endpoints are written for, so that whoever programs the network can tell how late it is: the
// earliest of the changes since the last time. It knows what it was shown, and starts anew with the process.
// https://github.com/kubernetes/community/blob/master/sig-scalability/slos/network_programming_latency.md
import type { Pod, Service } from "@coxswain/api";
import { objectKey, parseTime } from "@coxswain/apimachinery";

export const TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time";

interface Known {
  readonly service: string | undefined;
  readonly pods: ReadonlyMap<string, string>;
}

/** A pod begins or ceases to be an endpoint when its readiness changes. */
function podTime({ status }: Pod): string | undefined {
  return status?.conditions?.find(({ type }) => type === "Ready")?.lastTransitionTime ?? undefined;
}

const at = (time: string): number => parseTime(time) ?? 0;
const isAfter = (time: string, before: string | undefined): boolean => before === undefined || at(time) > at(before);

export class TriggerTimes {
  readonly #known = new Map<string, Known>();

  /** Undefined where nothing that has a time has changed. */
  next(service: Service, pods: readonly Pod[]): string | undefined {
    const key = objectKey(service);
    const before = this.#known.get(key);
    const created = service.metadata?.creationTimestamp ?? undefined;
    const times = new Map<string, string>();
    const changed: string[] = [];
    for (const pod of pods) {
      const time = podTime(pod);
      const name = pod.metadata?.name ?? "";
      if (time === undefined) continue;
      times.set(name, time);
      if (isAfter(time, before?.pods.get(name))) changed.push(time);
    }
    if (created !== undefined && isAfter(created, before?.service)) changed.push(created);
    this.#known.set(key, { service: created, pods: times });
    if (before === undefined) return created;
    return changed.toSorted((a, b) => at(a) - at(b))[0];
  }

  forget(service: Service): void {
    this.#known.delete(objectKey(service));
  }
}

/** The annotations with the time, or without any. */
export function withTriggerTime(
  annotations: Readonly<Record<string, string>> | undefined,
  time: string | undefined,
): Record<string, string> | undefined {
  const { [TRIGGER_TIME]: _before, ...others } = annotations ?? {};
  const next = time === undefined ? others : { ...others, [TRIGGER_TIME]: time };
  return Object.keys(next).length === 0 ? undefined : next;
}
