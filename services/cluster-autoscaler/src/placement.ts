// Placement: where pods would go. Answered by the scheduler's own plugins, so that the autoscaler and the scheduler never disagree.
import type { Node, Pod } from "@coxswain/api";

export interface NodeTemplate {
  readonly node: Node;
  readonly copies: number;
}

export interface PlacementQuestion {
  /** Nodes that count as gone, with all pods on them. */
  readonly removeNodes?: readonly string[];
  /** Nodes that count as being there. */
  readonly addNodes?: readonly NodeTemplate[];
  /** Copies of it are added one by one, each for a pod that fits on no other node. */
  readonly spare?: NodeTemplate;
  /** Pods of DaemonSets: one on every copy that takes it. */
  readonly daemonPods?: readonly Pod[];
  /** namespace/name; placed in this order. */
  readonly pods: readonly string[];
}

export interface Place {
  /** "" where the pod fits nowhere. */
  readonly node: string;
  /** The number of the spare copy, from 1; 0 for other nodes. */
  readonly copy: number;
  /** Why it fits nowhere; "" where a further spare copy would take it. */
  readonly message: string;
}

export interface PlacementAnswer {
  /** One a pod, in order. */
  readonly places: readonly Place[];
  readonly copies: number;
}

export interface Placement {
  ask(question: PlacementQuestion): Promise<PlacementAnswer>;
}
