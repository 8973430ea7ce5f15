// All containers of a pod, in upstream's order.
import { childPath, indexPath } from "@coxswain/apimachinery";
import type { Container, EphemeralContainer, PodSpec } from "../../types.gen.ts";

/** `look` is told the path of each container, of the spec at `path`. */
export function eachContainer(
  spec: PodSpec,
  path: string,
  look: (container: Container | EphemeralContainer, path: string) => void,
): void {
  for (const list of ["initContainers", "containers", "ephemeralContainers"] as const) {
    const at = childPath(path, list);
    for (const [index, container] of (spec[list] ?? []).entries()) look(container, indexPath(at, index));
  }
}
