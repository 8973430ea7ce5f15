// What a pod takes of its node while its resources are changed in place: the most of what it asks for, what it was granted and
// what it still has. Pure. As upstream's PodRequests with the status counted in.
// https://github.com/kubernetes/enhancements/tree/master/keps/sig-node/1287-in-place-update-pod-resources#scheduler-and-api-server-interaction
import { parseQuantity } from "@coxswain/apimachinery";
import type { Container, ContainerStatus, Pod } from "../../types.gen.ts";

type Amounts = Readonly<Record<string, string>>;

/** The largest amount of each resource that any list names. The first list itself where no other has more. */
export function largestAmounts(first: Amounts, ...others: readonly Amounts[]): Amounts {
  let largest = first;
  for (const list of others) {
    for (const [name, amount] of Object.entries(list)) {
      const before = largest[name];
      if (before === amount) continue;
      if (before !== undefined && parseQuantity(amount).compare(parseQuantity(before)) <= 0) continue;
      largest = { ...largest, [name]: amount };
    }
  }
  return largest;
}

/** Whether the kubelet said that the node can never give what the pod asks for. */
export const isResizeInfeasible = ({ status }: Pod): boolean =>
  status?.conditions?.find(({ type }) => type === "PodResizePending")?.reason === "Infeasible";

/** As if the spec asked for what the pod takes of its node now. The same object where it does. */
export function occupyingPod(pod: Pod): Pod {
  return withStatusCounted(pod, ["requests"]);
}

/** The same for what it counts for: besides what it takes, what it may use. */
export function chargedPod(pod: Pod): Pod {
  return withStatusCounted(pod, ["requests", "limits"]);
}

type Side = "requests" | "limits";

function withStatusCounted(pod: Pod, sides: readonly Side[]): Pod {
  const { spec, status } = pod;
  const statuses = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
  if (spec === undefined || !statuses.some(({ resources }) => resources !== undefined)) return pod;
  const infeasible = isResizeInfeasible(pod);
  const counted = (container: Container): Container => {
    const has = statuses.find(({ name }) => name === container.name);
    let result = container;
    for (const side of sides) {
      const amounts = occupied(container, has, side, infeasible);
      if (amounts !== undefined) result = { ...result, resources: { ...result.resources, [side]: amounts } };
    }
    return result;
  };
  const containers = spec.containers.map(counted);
  const initContainers = (spec.initContainers ?? []).map((one) =>
    one.restartPolicy === "Always" ? counted(one) : one,
  );
  const same =
    containers.every((one, at) => one === spec.containers[at]) &&
    initContainers.every((one, at) => one === spec.initContainers![at]);
  if (same) return pod;
  return { ...pod, spec: { ...spec, containers, ...(spec.initContainers === undefined ? {} : { initContainers }) } };
}

/** Undefined where it is what the container asks for. */
function occupied(
  { resources }: Container,
  status: ContainerStatus | undefined,
  side: Side,
  infeasible: boolean,
): Amounts | undefined {
  if (status?.resources === undefined) return undefined;
  const asked = resources?.[side] ?? {};
  const actual = status.resources[side] ?? {};
  const granted = side === "requests" ? (status.allocatedResources ?? {}) : {};
  if (infeasible) return largestAmounts(actual, granted);
  const largest = largestAmounts(asked, actual, granted);
  return largest === asked ? undefined : largest;
}
