// The pod sandboxes of a runtime. Guarantees: stopping and removing are idempotent; listing costs one call, and one more for
// each sandbox that is new or has changed.
import type { PodSandboxStatus } from "@coxswain/protos/runtime-v1.gen";
import { CriError, type PodSandbox, type PodSandboxConfig } from "../contract.ts";
import type { CriChannel } from "./cri-channel.ts";
import { sandboxConfigToWire, sandboxFromWire } from "./sandbox-config.ts";
import { CHANGE_TIMEOUT_MS, READ_TIMEOUT_MS } from "./time-limits.ts";

export const POD_NAME_LABEL = "io.kubernetes.pod.name";
export const POD_NAMESPACE_LABEL = "io.kubernetes.pod.namespace";
export const POD_UID_LABEL = "io.kubernetes.pod.uid";

/** The labels by which runtimes and their tools know a pod. */
export function podLabels({ name, namespace, uid }: PodSandboxConfig): Record<string, string> {
  return { [POD_NAME_LABEL]: name, [POD_NAMESPACE_LABEL]: namespace, [POD_UID_LABEL]: uid };
}

export function ignoreNotFound(error: unknown): void {
  if (!(error instanceof CriError) || error.code !== "NotFound") throw error;
}

export class RuntimeSandboxes {
  readonly #channel: CriChannel;
  readonly #known = new Map<string, PodSandbox>();

  constructor(channel: CriChannel) {
    this.#channel = channel;
  }

  async run(config: PodSandboxConfig): Promise<string> {
    const labelled = { ...config, labels: { ...podLabels(config), ...config.labels } };
    const request = { config: sandboxConfigToWire(labelled), runtimeHandler: config.runtimeHandler ?? "" };
    const { podSandboxId } = await this.#channel.call("runPodSandbox", request, CHANGE_TIMEOUT_MS);
    return podSandboxId;
  }

  async stop(id: string): Promise<void> {
    await this.#channel.call("stopPodSandbox", { podSandboxId: id }, CHANGE_TIMEOUT_MS).catch(ignoreNotFound);
    this.#known.delete(id);
  }

  async remove(id: string): Promise<void> {
    await this.#channel.call("removePodSandbox", { podSandboxId: id }, CHANGE_TIMEOUT_MS).catch(ignoreNotFound);
    this.#known.delete(id);
  }

  async status(id: string): Promise<PodSandbox> {
    const sandbox = sandboxFromWire(await this.#read(id));
    this.#known.set(id, sandbox);
    return sandbox;
  }

  /** As `status`, from memory where the sandbox is known: for what never changes of it. */
  async config(id: string): Promise<PodSandboxConfig> {
    return (this.#known.get(id) ?? (await this.status(id))).config;
  }

  async list(filter: { readonly uid?: string }): Promise<PodSandbox[]> {
    const labelSelector: Record<string, string> = filter.uid === undefined ? {} : { [POD_UID_LABEL]: filter.uid };
    const { items } = await this.#channel.call("listPodSandbox", { filter: { labelSelector } }, READ_TIMEOUT_MS);
    if (filter.uid === undefined) this.#forgetAllBut(new Set(items.map((item) => item.id)));
    const found = await Promise.all(
      items.map(async ({ id, state }) => {
        const known = this.#known.get(id);
        // A sandbox that was removed meanwhile is no longer there to list.
        return known?.state === state ? known : this.status(id).catch(ignoreNotFound);
      }),
    );
    return found.filter((sandbox) => sandbox !== undefined);
  }

  async #read(id: string): Promise<PodSandboxStatus> {
    const { status } = await this.#channel.call("podSandboxStatus", { podSandboxId: id }, READ_TIMEOUT_MS);
    if (status === null) throw new CriError("Internal", `the runtime told no status of sandbox ${id}`);
    return status;
  }

  #forgetAllBut(ids: ReadonlySet<string>): void {
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
  }
}
