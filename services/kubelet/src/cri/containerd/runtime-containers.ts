// The containers of a runtime. Guarantees: stopping and removing are idempotent; listing costs one call, and one more for each
// container that is new or has changed, so that a kubelet may list every second.
import type { Env } from "@coxswain/env";
import { CriError, type ContainerConfig, type ContainerStatus } from "../contract.ts";
import { containerConfigToWire, containerFromWire, resourcesToWire } from "./container-config.ts";
import type { CriChannel } from "./cri-channel.ts";
import type { ImageMounts } from "./image-mounts.ts";
import { ignoreNotFound, POD_UID_LABEL, podLabels, type RuntimeSandboxes } from "./runtime-sandboxes.ts";
import { sandboxConfigToWire } from "./sandbox-config.ts";
import { CHANGE_TIMEOUT_MS, READ_TIMEOUT_MS } from "./time-limits.ts";

/** A runtime may learn that a container died for lack of memory a moment after it learned that it died. */
const REASON_SETTLES_MS = 3_000;
const CONTAINER_NAME_LABEL = "io.kubernetes.container.name";

export type KnownContainer = ReturnType<typeof containerFromWire>;

export class RuntimeContainers {
  readonly #env: Env;
  readonly #channel: CriChannel;
  readonly #sandboxes: RuntimeSandboxes;
  readonly #images: ImageMounts;
  readonly #known = new Map<string, KnownContainer>();

  constructor(env: Env, channel: CriChannel, sandboxes: RuntimeSandboxes, images: ImageMounts) {
    this.#env = env;
    this.#channel = channel;
    this.#sandboxes = sandboxes;
    this.#images = images;
  }

  async create(sandboxId: string, config: ContainerConfig): Promise<string> {
    const sandbox = await this.#sandboxes.config(sandboxId);
    const labels = { ...podLabels(sandbox), [CONTAINER_NAME_LABEL]: config.name, ...config.labels };
    const mounts = await this.#images.forRuntime(sandbox.uid, config.mounts);
    const request = {
      podSandboxId: sandboxId,
      config: containerConfigToWire({ ...config, labels, mounts }, sandboxId, sandbox.hostNetwork),
      sandboxConfig: sandboxConfigToWire(sandbox),
    };
    const { containerId } = await this.#channel.call("createContainer", request, CHANGE_TIMEOUT_MS);
    return containerId;
  }

  async start(id: string): Promise<void> {
    await this.#channel.call("startContainer", { containerId: id }, CHANGE_TIMEOUT_MS);
  }

  async stop(id: string, timeoutSeconds: number): Promise<void> {
    const request = { containerId: id, timeout: timeoutSeconds };
    const limitMs = timeoutSeconds * 1000 + CHANGE_TIMEOUT_MS;
    await this.#channel.call("stopContainer", request, limitMs).catch(ignoreNotFound);
  }

  async remove(id: string): Promise<void> {
    await this.#channel.call("removeContainer", { containerId: id }, CHANGE_TIMEOUT_MS).catch(ignoreNotFound);
    this.#known.delete(id);
  }

  async updateResources(id: string, resources: ContainerConfig["resources"], oomScoreAdj: number): Promise<void> {
    const request = { containerId: id, linux: resourcesToWire(resources, oomScoreAdj) };
    await this.#channel.call("updateContainerResources", request, CHANGE_TIMEOUT_MS);
  }

  async status(id: string): Promise<KnownContainer> {
    const { status } = await this.#channel.call("containerStatus", { containerId: id }, READ_TIMEOUT_MS);
    if (status === null) throw new CriError("Internal", `the runtime told no status of container ${id}`);
    const told = containerFromWire(status);
    const container = told.sandboxId === "" ? { ...told, sandboxId: await this.#sandboxOf(id) } : told;
    this.#known.set(id, container);
    return container;
  }

  async list(filter: { readonly sandboxId?: string; readonly podUid?: string }): Promise<ContainerStatus[]> {
    const labelSelector: Record<string, string> = filter.podUid === undefined ? {} : { [POD_UID_LABEL]: filter.podUid };
    const request = { filter: { podSandboxId: filter.sandboxId ?? "", labelSelector } };
    const { containers } = await this.#channel.call("listContainers", request, READ_TIMEOUT_MS);
    if (filter.sandboxId === undefined && filter.podUid === undefined) {
      this.#forgetAllBut(new Set(containers.map((container) => container.id)));
    }
    const found = await Promise.all(
      containers.map(async ({ id, state }) => {
        const known = this.#known.get(id);
        const settled = known?.state === state && !this.#mayChange(known);
        // A container that was removed meanwhile is no longer there to list.
        return settled ? known : this.status(id).catch(ignoreNotFound);
      }),
    );
    return found.filter((container) => container !== undefined);
  }

  #mayChange({ state, reason, finishedAtMs }: KnownContainer): boolean {
    if (state !== "CONTAINER_EXITED" || reason !== "Error") return false;
    return this.#env.clock.now() - finishedAtMs < REASON_SETTLES_MS;
  }

  /** For containers that others made: their status does not tell. */
  async #sandboxOf(id: string): Promise<string> {
    const { containers } = await this.#channel.call("listContainers", { filter: { id } }, READ_TIMEOUT_MS);
    const [container] = containers;
    if (container === undefined) throw new CriError("NotFound", `container ${id} not found`);
    return container.podSandboxId;
  }

  #forgetAllBut(ids: ReadonlySet<string>): void {
    for (const id of this.#known.keys()) if (!ids.has(id)) this.#known.delete(id);
  }
}
