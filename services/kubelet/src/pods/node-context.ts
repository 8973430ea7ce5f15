// What the pod workers of one node share.
import type { Pod } from "@coxswain/api";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import type { Cri } from "../cri/contract.ts";
import type { ObjectCache } from "./object-cache.ts";
import type { PodEvents } from "./pod-events.ts";
import type { StatusWriter } from "./status-writer.ts";

export interface NodeContext {
  readonly env: Env;
  readonly logger: Logger;
  readonly node: string;
  readonly hostIp: string;
  readonly cri: Cri;
  readonly events: PodEvents;
  readonly objects: ObjectCache;
  readonly writer: StatusWriter;
  /** The scheme of container ids: "simulated". */
  readonly runtimeName: string;
  readonly allocatable: Readonly<Record<string, string>>;
  /** False until the node is registered: before, nobody knows its pod CIDR. */
  open(): boolean;
  /** Pods that are admitted and not over, but this one. */
  activePods(but: Pod): Pod[];
}
