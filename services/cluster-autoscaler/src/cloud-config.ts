// The file of --cloud-config, as upstream's external gRPC provider reads it: where the provider is, and how to speak to it.
import { readFileSync } from "node:fs";
import { parse } from "yaml";

export interface CloudConfig {
  /** host:port, or unix:PATH. */
  readonly address: string;
  /** Paths of PEM files; all three or none. */
  readonly key?: string;
  readonly cert?: string;
  readonly cacert?: string;
  /** How long a call may take. */
  readonly timeoutMs: number;
}

/** What a call that waits for a machine to go may take. */
const DEFAULT_TIMEOUT_MS = 120_000;

const KNOWN = ["address", "key", "cert", "cacert", "grpc_timeout"];

/** Throws an Error that names the file. */
export function readCloudConfig(file: string): CloudConfig {
  try {
    return parseCloudConfig(readFileSync(file, "utf8"));
  } catch (error) {
    throw new Error(`--cloud-config: ${file}: ${(error as Error).message}`, { cause: error });
  }
}

export function parseCloudConfig(text: string): CloudConfig {
  const found: unknown = parse(text);
  if (typeof found !== "object" || found === null) throw new Error("must be a YAML object");
  const fields = found as Record<string, unknown>;
  const unknown = Object.keys(fields).find((name) => !KNOWN.includes(name));
  if (unknown !== undefined) throw new Error(`unknown field "${unknown}"`);
  const optional = (name: string): string | undefined => {
    const value = fields[name];
    if (value === undefined || value === "") return undefined;
    if (typeof value !== "string") throw new Error(`${name}: must be a string`);
    return value;
  };
  const address = optional("address");
  if (address === undefined) throw new Error("address: Required value");
  const [key, cert, cacert] = [optional("key"), optional("cert"), optional("cacert")];
  const files = [key, cert, cacert].filter((one) => one !== undefined).length;
  if (files !== 0 && files !== 3) throw new Error("key, cert and cacert: all three must be set, or none");
  if (files === 0 && !address.startsWith("unix:"))
    throw new Error("key, cert and cacert: Required value: only a unix socket is spoken to without TLS");
  return {
    address,
    ...(key === undefined ? {} : { key, cert, cacert }),
    timeoutMs: seconds(optional("grpc_timeout")),
  };
}

function seconds(text: string | undefined): number {
  if (text === undefined) return DEFAULT_TIMEOUT_MS;
  const digits = /^(\d+)s$/.exec(text)?.[1];
  if (digits === undefined || Number(digits) < 1) throw new Error("grpc_timeout: must be whole seconds, as in 30s");
  return Number(digits) * 1000;
}
