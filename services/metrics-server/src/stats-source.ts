// StatsSource: how the figures of kubelets are read. Processes ask over gRPC, the simulator and tests give them.

/** What something has used up to a moment. */
export interface Point {
  /** Nanoseconds of CPU since it started. */
  readonly cpuNanos: number;
  /** As its kubelet last measured it. */
  readonly cpuNanoCores: number;
  readonly workingSetBytes: number;
  readonly startMs: number;
  readonly timeMs: number;
}

export interface ContainerPoint extends Point {
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
}

export interface NodeSample {
  readonly node: string;
  /** No program runs: the figures are made up, and need not be measured twice. */
  readonly simulated: boolean;
  /** Undefined where the kubelet could not read it. */
  readonly usage: Point | undefined;
  readonly containers: readonly ContainerPoint[];
}

export interface StatsSource {
  /** All nodes behind one address (host:port). Rejects where the kubelet gives no whole answer in time. */
  collect(address: string): Promise<NodeSample[]>;
  /** Frees what was kept for addresses that are none of these. */
  keep(addresses: ReadonlySet<string>): void;
}
