// What a kubelet asks of the network: is something there, and what does it answer. The real one opens sockets from the
// node's own network namespace; the simulated runtime answers probes itself and needs none.

/** What one attempt says. `unknown`: it could not be made, which counts for nothing. `warning` counts as success. */
export interface ProbeResult {
  readonly outcome: "success" | "warning" | "failure" | "unknown";
  /** What Events say after "Readiness probe failed: ". */
  readonly output: string;
}

export interface HttpTarget {
  readonly scheme: "http" | "https";
  readonly host: string;
  readonly port: number;
  /** Path and query as written in the pod. */
  readonly path: string;
  /** Those of the pod; they win over the kubelet's own. */
  readonly headers: readonly { readonly name: string; readonly value: string }[];
  /** "kube-probe/1.35" */
  readonly userAgent: string;
}

export interface NetworkProber {
  /** A certificate is not verified. Never rejects. */
  http(target: HttpTarget, timeoutMs: number): Promise<ProbeResult>;
  /** For hooks: resolves once there is an answer, whatever it says; rejects where there is none. */
  get(target: HttpTarget, timeoutMs: number, signal: AbortSignal): Promise<void>;
  tcp(host: string, port: number, timeoutMs: number): Promise<ProbeResult>;
  /** grpc.health.v1 without TLS; "" asks for the process as a whole. */
  grpc(host: string, port: number, service: string, timeoutMs: number): Promise<ProbeResult>;
}
