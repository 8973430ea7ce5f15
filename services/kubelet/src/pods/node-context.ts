// What the pod workers of one node share.
import type { Node, Pod } from "@coxswain/api";
import type { Logger } from "@coxswain/component-base";
import type { Env } from "@coxswain/env";
import type { Cri, RegistryAuth } from "../cri/contract.ts";
import type { PullManager, PullRecordStore } from "../images/pull-manager.ts";
import type { NetworkProber } from "../probes/contract.ts";
import type { Usage } from "../stats/node-stats.ts";
import type { PodVolumes } from "../volumes/contract.ts";
import type { VolumesInUse } from "../volumes/volumes-in-use.ts";
import type { ObjectCache } from "./object-cache.ts";
import type { PodCgroups } from "./pod-cgroups.ts";
import type { PodEvents } from "./pod-events.ts";
import type { PodLogs } from "./pod-logs.ts";
import type { NodeRuntime } from "./pod-runtime-config.ts";
import type { ServiceSource } from "./service-environment.ts";
import type { StatusWriter } from "./status-writer.ts";

/** What a node has where its containers are real. */
export interface RealNode {
  readonly volumes: PodVolumes;
  readonly network: NetworkProber;
  readonly cgroups: PodCgroups;
  readonly logs: PodLogs;
  readonly services: ServiceSource;
  /** What the whole node uses. */
  usage(): Promise<Usage>;
  /** Gets an image onto the node. Rejects with why it could not. */
  pullImage(image: string, auth?: RegistryAuth): Promise<void>;
  /** Where it is kept what was pulled, beyond the life of the process. */
  readonly pullRecords: PullRecordStore;
  /** Why pods cannot have a network now; undefined where they can. */
  networkProblem(): string | undefined;
}

export interface NodeContext extends Partial<RealNode> {
  readonly env: Env;
  readonly logger: Logger;
  /** When this process took the node over. */
  readonly bornMs: number;
  readonly node: string;
  readonly hostIp: string;
  readonly cri: Cri;
  readonly events: PodEvents;
  readonly objects: ObjectCache;
  /** What was pulled, and for whom. */
  readonly pulls: PullManager;
  readonly writer: StatusWriter;
  /** The scheme of container ids: "simulated". */
  readonly runtimeName: string;
  readonly allocatable: Readonly<Record<string, string>>;
  /** The Node as it was last seen, or, where asked, as the api-server has it now. */
  readonly nodeObject?: { known(): Node | undefined; fresh(): Promise<Node> };
  /** What the Node says may have changed. */
  readonly nodeStatusChanged?: () => void;
  readonly volumesInUse: VolumesInUse;
  /** What pods' configs are made of. */
  readonly runtime: NodeRuntime;
  /** False until the node is registered and what its runtime has is known. */
  open(): boolean;
  /** Pods that are admitted and not over, but this one. */
  activePods(but: Pod): Pod[];
  /** The same, as if they asked for what they take of the node: what they are granted, or still have where that is more. */
  occupants(but: Pod): Pod[];
  /** Something has been asked of the runtime whose end it does not tell by itself. */
  lookAgain(): void;
}
