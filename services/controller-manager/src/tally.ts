// A gauge of how many objects of an informer there are, by labels that each object gives; counted as they change, not when asked.
import type { KubeObject } from "@coxswain/apimachinery";
import type { SharedInformer } from "@coxswain/client";
import type { Metrics } from "@coxswain/component-base";

/** `labelsOf` says undefined for an object that does not count. Its labels always come in the same order. */
export function tally<T extends KubeObject>(
  informer: SharedInformer<T>,
  gauge: ReturnType<Metrics["gauge"]>,
  labelsOf: (object: T) => Record<string, string> | undefined,
): void {
  const counts = new Map<string, number>();
  const shift = (labels: Record<string, string> | undefined, by: number): void => {
    if (labels === undefined) return;
    const key = JSON.stringify(labels);
    const count = (counts.get(key) ?? 0) + by;
    if (count === 0) {
      counts.delete(key);
      gauge.remove(labels);
    } else {
      counts.set(key, count);
      gauge.set(count, labels);
    }
  };
  informer.addHandler({
    add: (object) => shift(labelsOf(object), 1),
    update(object, old) {
      const [now, before] = [labelsOf(object), labelsOf(old)];
      if (JSON.stringify(now) === JSON.stringify(before)) return;
      shift(before, -1);
      shift(now, 1);
    },
    delete: (object) => shift(labelsOf(object), -1),
  });
}
