// The row of a pod in `kubectl get pods`: what one word says best about its state, from the phase, the reasons of its
// containers and its deletion.
import { parseTime } from "@coxswain/apimachinery";
import type { PrintContext, RowCondition } from "../../kind.ts";
import { age, column, NAME, AGE, nameOf, since, wide } from "../../printing.ts";
import type { ContainerState, ContainerStatus, Pod } from "../../types.gen.ts";

export const POD_COLUMNS = [
  NAME,
  column("Ready", "How many of the containers are ready."),
  column("Status", "The state of the pod, in one word."),
  column("Restarts", "How often containers were restarted, and when last."),
  AGE,
  wide("IP", "The address of the pod."),
  wide("Node", "The node it runs on."),
  wide("Nominated Node", "The node where room is being made for it."),
  wide("Readiness Gates", "How many of its readiness gates are open."),
];

/** What the walk over container statuses has found so far. */
interface Tally {
  reason: string;
  ready: number;
  restarts: number;
  /** RFC 3339, the latest end of an earlier run of a container. */
  lastRestart: string | undefined;
}

function later(a: string | undefined, b: string | undefined): string | undefined {
  if (!a || !b) return a ?? b;
  return (parseTime(a) ?? 0) < (parseTime(b) ?? 0) ? b : a;
}

function countRestarts(tally: Tally, status: ContainerStatus): void {
  tally.restarts += status.restartCount ?? 0;
  tally.lastRestart = later(tally.lastRestart, status.lastState?.terminated?.finishedAt);
}

function endReason(terminated: NonNullable<ContainerState["terminated"]>): string {
  if (terminated.reason) return terminated.reason;
  return terminated.signal ? `Signal:${terminated.signal}` : `ExitCode:${terminated.exitCode}`;
}

/** What is said of the first init container that is not done; undefined where `status` is done. */
function initReason(status: ContainerStatus, sidecar: boolean, index: number, total: number): string | undefined {
  const { terminated, waiting } = status.state ?? {};
  if (terminated?.exitCode === 0) return undefined;
  if (sidecar && status.started) return undefined;
  if (terminated) return `Init:${endReason(terminated)}`;
  if (waiting?.reason && waiting.reason !== "PodInitializing") return `Init:${waiting.reason}`;
  return `Init:${index}/${total}`;
}

function isSidecar(pod: Pod, name: string): boolean {
  return pod.spec?.initContainers?.some((c) => c.name === name && c.restartPolicy === "Always") ?? false;
}

/** Counts init containers into `all`, sidecars also into `sidecars`; true while the pod is still initializing. */
function tallyInit(pod: Pod, all: Tally, sidecars: Tally): boolean {
  for (const [index, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const sidecar = isSidecar(pod, status.name);
    countRestarts(all, status);
    if (sidecar) countRestarts(sidecars, status);
    const reason = initReason(status, sidecar, index, pod.spec?.initContainers?.length ?? 0);
    if (reason !== undefined) {
      all.reason = reason;
      return true;
    }
    if (sidecar && status.state?.terminated?.exitCode !== 0 && status.ready) sidecars.ready++;
  }
  return false;
}

function tallyContainers(pod: Pod, tally: Tally): void {
  let running = false;
  let failure = "";
  for (const status of (pod.status?.containerStatuses ?? []).toReversed()) {
    const { waiting, terminated } = status.state ?? {};
    countRestarts(tally, status);
    if (waiting?.reason) tally.reason = waiting.reason;
    else if (terminated) {
      tally.reason = endReason(terminated);
      if (terminated.exitCode !== 0) failure = tally.reason;
    } else if (status.ready && status.state?.running) {
      running = true;
      tally.ready++;
    }
  }
  if (tally.reason !== "Completed") return;
  if (running && hasCondition(pod, "Ready")) tally.reason = "Running";
  else if (failure !== "") tally.reason = failure;
  else if (running) tally.reason = "NotReady";
}

function hasCondition(pod: Pod, type: string): boolean {
  return pod.status?.conditions?.some((c) => c.type === type && c.status === "True") ?? false;
}

function tallyPod(pod: Pod): Tally {
  const { phase = "", reason } = pod.status ?? {};
  const gated = pod.status?.conditions?.some((c) => c.type === "PodScheduled" && c.reason === "SchedulingGated");
  const start = gated ? "SchedulingGated" : reason || phase;
  const all: Tally = { reason: start, ready: 0, restarts: 0, lastRestart: undefined };
  const sidecars: Tally = { ...all };
  const initializing = tallyInit(pod, all, sidecars);
  let tally: Tally = { ...all, ready: sidecars.ready };
  if (!initializing || hasCondition(pod, "Initialized")) {
    // Once initialized, the restarts of finished init containers are history.
    tally = { ...sidecars, reason: all.reason };
    tallyContainers(pod, tally);
  }
  if (pod.metadata?.deletionTimestamp) {
    if (reason === "NodeLost") tally.reason = "Unknown";
    else if (phase !== "Succeeded" && phase !== "Failed") tally.reason = "Terminating";
  }
  return tally;
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return "<none>";
  const open = gates.filter((gate) => {
    const condition = pod.status?.conditions?.find((c) => c.type === gate.conditionType);
    return condition?.status === "True";
  });
  return `${open.length}/${gates.length}`;
}

export function podRow(pod: Pod, context: PrintContext): unknown[] {
  const tally = tallyPod(pod);
  const sidecars = (pod.spec?.initContainers ?? []).filter((c) => c.restartPolicy === "Always").length;
  const total = (pod.spec?.containers?.length ?? 0) + sidecars;
  const restarts =
    tally.restarts > 0 && tally.lastRestart
      ? `${tally.restarts} (${since(tally.lastRestart, context)} ago)`
      : String(tally.restarts);
  return [
    nameOf(pod),
    `${tally.ready}/${total}`,
    tally.reason,
    restarts,
    age(pod, context),
    pod.status?.podIPs?.[0]?.ip || "<none>",
    pod.spec?.nodeName || "<none>",
    pod.status?.nominatedNodeName || "<none>",
    readinessGates(pod),
  ];
}

const ENDINGS: Readonly<Record<string, string>> = {
  Succeeded: "The pod has completed successfully.",
  Failed: "The pod failed.",
};

/** That the pod has run its course, for clients that hide such rows. */
export function podRowConditions({ status }: Pod): RowCondition[] | undefined {
  const reason = status?.phase ?? "";
  const message = ENDINGS[reason];
  return message === undefined ? undefined : [{ type: "Completed", status: "True", reason, message }];
}
