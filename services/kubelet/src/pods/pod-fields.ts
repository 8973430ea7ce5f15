// What fieldRef and resourceFieldRef stand for, in environment variables and in downward API volumes. Pure.
// https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
import type { Container, Pod } from "@coxswain/api";
import { parseCpuMillis, parseQuantity, quote } from "@coxswain/apimachinery";

/** A field that there is not; the message is upstream's. */
export class FieldError extends Error {
  override readonly name = "FieldError";
}

/** The value of a field of the pod's metadata or spec; addresses are not among them. Throws FieldError. */
export function podField(pod: Pod, path: string): string {
  const { metadata = {}, spec } = pod;
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/s.exec(path);
  if (subscript !== null) {
    const map = subscript[1] === "labels" ? metadata.labels : metadata.annotations;
    return map?.[subscript[2] ?? ""] ?? "";
  }
  switch (path) {
    case "metadata.name":
      return metadata.name ?? "";
    case "metadata.namespace":
      return metadata.namespace ?? "";
    case "metadata.uid":
      return metadata.uid ?? "";
    case "metadata.labels":
      return formatMap(metadata.labels ?? {});
    case "metadata.annotations":
      return formatMap(metadata.annotations ?? {});
    case "spec.nodeName":
      return spec?.nodeName ?? "";
    case "spec.serviceAccountName":
      return spec?.serviceAccountName ?? "";
    default:
      throw new FieldError(`unsupported fieldPath: ${path}`);
  }
}

/** One line a key, sorted, values quoted as Go quotes: what labels look like in a volume. */
function formatMap(map: Readonly<Record<string, string>>): string {
  return Object.keys(map)
    .toSorted()
    .map((key) => `${key}=${quote(map[key] ?? "")}`)
    .join("\n");
}

export interface ResourceFieldInput {
  readonly pod: Pod;
  /** The container that asks; stands in where the reference names none. */
  readonly container: Container | undefined;
  /** The node's allocatable resources, which stand for limits that are not set. */
  readonly allocatable: Readonly<Record<string, string>>;
}

/** A request or limit in units of the divisor, rounded up. Throws FieldError. */
export function resourceField(
  reference: { containerName?: string; resource: string; divisor?: string },
  { pod, container, allocatable }: ResourceFieldInput,
): string {
  const { containerName = "", resource, divisor = "" } = reference;
  const all = [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])];
  const target = containerName === "" ? container : all.find((one) => one.name === containerName);
  if (target === undefined) throw new FieldError(`container ${containerName} not found`);
  const [kind = "", name = ""] = resource.split(/\.(.*)/s);
  const { limits, requests } = target.resources ?? {};
  const limit = limits?.[name] ?? pod.spec?.resources?.limits?.[name] ?? allocatable[name];
  const amount = (kind === "limits" ? limit : requests?.[name]) ?? "0";
  const by = divisor === "" || divisor === "0" ? "1" : divisor;
  if (name === "cpu") return String(Math.ceil(parseCpuMillis(amount) / parseCpuMillis(by)));
  return String(Math.ceil(parseQuantity(amount).value() / parseQuantity(by).value()));
}
