// What is known of a container's life once it is over: the runtime's word, and what the container itself left to say.
import type { ContainerStatus as CriContainerStatus } from "../cri/contract.ts";
import type { NodeContext } from "./node-context.ts";
import { runOf } from "./plan-adoption.ts";
import type { ContainerRecord, ContainerRun, PodState } from "./pod-state.ts";

/** All containers of a pod share this much, bytes. */
const MAX_POD_MESSAGE_BYTES = 12 * 1024;

export interface EndInput {
  readonly context: NodeContext;
  readonly state: PodState;
  readonly record: ContainerRecord;
}

/** The message of the terminated state: the runtime's, then the container's own. */
async function messageOf({ context, state, record }: EndInput, status: CriContainerStatus): Promise<string> {
  const { volumes, cri, logger } = context;
  if (volumes === undefined) return status.message;
  const cut = new AbortController();
  try {
    const own = await volumes.terminationMessage(state.pod, record.spec, {
      attempt: status.config.attempt,
      exitCode: status.exitCode,
      log: () => cri.logs(status.id, { follow: false }, cut.signal),
    });
    if (own === undefined || own === "") return status.message;
    const share = Math.floor(MAX_POD_MESSAGE_BYTES / Math.max(1, state.containers.length));
    const shown = Buffer.from(own).subarray(0, share).toString("utf8");
    return status.message === "" ? shown : `${status.message}: ${shown}`;
  } catch (error) {
    logger.warn(
      { pod: state.pod.metadata?.name, container: record.name, err: error },
      "a container's last words are lost",
    );
    return status.message;
  } finally {
    cut.abort();
  }
}

/** The life as it ended. */
export async function endedRun(input: EndInput, status: CriContainerStatus): Promise<ContainerRun | undefined> {
  const run = runOf(status, input.context.env.clock.now());
  if (run === undefined || run.state === "running") return run;
  return { ...run, message: await messageOf(input, { ...status, exitCode: run.exitCode, message: run.message }) };
}
