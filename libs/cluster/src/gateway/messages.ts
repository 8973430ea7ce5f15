// What the supervisor and the gateway tell each other over their IPC channel: pure data. A socket travels beside its message.

/** A port of 127.0.0.1 and what stands behind it. */
export interface Mapping {
  readonly port: number;
  /** host:port in the cluster; with several, connections go to them in turn, past those that do not answer. */
  readonly targets: readonly string[];
}

export type ToGateway = ({ readonly op: "map" } & Mapping) | { readonly op: "unmap"; readonly port: number };

export type FromGateway =
  | { readonly op: "listening"; readonly port: number }
  | { readonly op: "failed"; readonly port: number; readonly error: string };
