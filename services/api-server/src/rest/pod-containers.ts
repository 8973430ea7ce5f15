// Which container a log or exec request means, and whether it can be served. Pure; wording as upstream.
import type { Pod } from "@coxswain/api";
import { newBadRequest } from "@coxswain/apimachinery";

interface Named {
  readonly name: string;
}

const names = (list: readonly Named[] | undefined): string[] => (list ?? []).map((container) => container.name);

/** Throws BadRequest where the name is missing and not obvious, or unknown. */
export function chooseContainer(pod: Pod, asked: string): string {
  const podName = pod.metadata?.name ?? "";
  const main = names(pod.spec?.containers);
  const init = names(pod.spec?.initContainers);
  const ephemeral = names(pod.spec?.ephemeralContainers);
  if (asked !== "") {
    if (![...main, ...init, ...ephemeral].includes(asked)) {
      throw newBadRequest(`container ${asked} is not valid for pod ${podName}`);
    }
    return asked;
  }
  const [only] = main;
  if (only !== undefined && main.length === 1) return only;
  const required = `a container name must be specified for pod ${podName}`;
  if (main.length === 0) throw newBadRequest(required);
  throw newBadRequest(`${required}, choose one of: [${[...init, ...main, ...ephemeral].join(" ")}]`);
}

/** Throws BadRequest where the container has nothing to show yet, or never ran before for `previous`. */
export function checkHasLogs(pod: Pod, container: string, previous: boolean): void {
  const podName = pod.metadata?.name ?? "";
  const statuses = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
    ...(pod.status?.ephemeralContainerStatuses ?? []),
  ];
  const status = statuses.find((one) => one.name === container);
  const what = `container ${JSON.stringify(container)} in pod ${JSON.stringify(podName)}`;
  if (previous) {
    if (status?.lastState?.terminated === undefined) {
      throw newBadRequest(`previous terminated ${what} not found`);
    }
    return;
  }
  if (status === undefined) throw newBadRequest(`${what} is not available`);
  const waiting = status.state?.waiting;
  const ranBefore = status.lastState?.terminated !== undefined;
  if (waiting === undefined || ranBefore) return;
  const reason = waiting.reason ?? "ContainerCreating";
  if (reason === "ErrImagePull" || reason === "ImagePullBackOff") {
    throw newBadRequest(`${what} is waiting to start: ${waiting.message ?? reason}`);
  }
  throw newBadRequest(`${what} is waiting to start: ${reason}`);
}
