// One attempt of a pod's probe, whatever its kind: by exec through the runtime, or over the network to the pod's address.
import type { Container, HTTPGetAction, Pod, Probe } from "@coxswain/api";
import { CriError, type Cri } from "../cri/contract.ts";
import type { HttpTarget, NetworkProber, ProbeResult } from "./contract.ts";

export const PROBE_USER_AGENT = "kube-probe/1.35";
/** What Events carry of a command's output. */
const MAX_OUTPUT_BYTES = 10 * 1024;

export interface ProbeTarget {
  readonly pod: Pod;
  readonly container: Container;
  readonly containerId: string;
  /** The node's own where the pod shares its network. */
  readonly podIp: string;
}

/** The number of a port that is given by number or by the name of one of the container's. Undefined where there is none. */
export function portOf(port: number | string, container: Container): number | undefined {
  const named = container.ports?.find((one) => one.name === port)?.containerPort;
  const found = typeof port === "number" ? port : (named ?? (/^\d+$/.test(port) ? Number(port) : undefined));
  return found !== undefined && found > 0 && found < 65_536 ? found : undefined;
}

/** Undefined where the port is not known. */
export function httpTargetOf(action: HTTPGetAction, target: ProbeTarget, userAgent: string): HttpTarget | undefined {
  const port = portOf(action.port, target.container);
  if (port === undefined) return undefined;
  return {
    scheme: (action.scheme ?? "HTTP").toUpperCase() === "HTTPS" ? "https" : "http",
    host: action.host || target.podIp,
    port,
    path: action.path ?? "/",
    headers: action.httpHeaders ?? [],
    userAgent,
  };
}

function unknownPort(port: number | string): ProbeResult {
  return { outcome: "unknown", output: `strconv.Atoi: parsing ${JSON.stringify(String(port))}: invalid syntax` };
}

/** `command timed out: "sh -c sleep 9" timed out after 1s` */
export function execTimedOut(command: readonly string[], timeoutSeconds: number): string {
  return `command timed out: "${command.join(" ")}" timed out after ${timeoutSeconds}s`;
}

/** True for the runtime's answer to a command that took longer than it may. */
export function isExecTimeout(error: unknown): boolean {
  return error instanceof CriError && error.code === "DeadlineExceeded";
}

async function probeExec(cri: Cri, id: string, command: readonly string[], seconds: number): Promise<ProbeResult> {
  try {
    const { stdout, stderr, exitCode } = await cri.execSync(id, command, seconds);
    const output = Buffer.concat([stdout, stderr]).subarray(0, MAX_OUTPUT_BYTES).toString("utf8");
    return { outcome: exitCode === 0 ? "success" : "failure", output };
  } catch (error) {
    if (isExecTimeout(error)) return { outcome: "failure", output: execTimedOut(command, seconds) };
    return { outcome: "unknown", output: (error as Error).message };
  }
}

/** Never rejects. */
export async function runProbe(
  probe: Probe,
  target: ProbeTarget,
  { cri, network }: { readonly cri: Cri; readonly network: NetworkProber },
): Promise<ProbeResult> {
  const seconds = probe.timeoutSeconds ?? 1;
  const timeoutMs = seconds * 1000;
  if (probe.exec !== undefined) return probeExec(cri, target.containerId, probe.exec.command ?? [], seconds);
  if (probe.httpGet !== undefined) {
    const http = httpTargetOf(probe.httpGet, target, PROBE_USER_AGENT);
    return http === undefined ? unknownPort(probe.httpGet.port) : network.http(http, timeoutMs);
  }
  if (probe.tcpSocket !== undefined) {
    const port = portOf(probe.tcpSocket.port, target.container);
    if (port === undefined) return unknownPort(probe.tcpSocket.port);
    return network.tcp(probe.tcpSocket.host || target.podIp, port, timeoutMs);
  }
  if (probe.grpc !== undefined) {
    return network.grpc(target.podIp, probe.grpc.port, probe.grpc.service ?? "", timeoutMs);
  }
  return { outcome: "unknown", output: "missing probe handler" };
}
