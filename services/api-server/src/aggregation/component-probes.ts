// How the parts of the control plane are asked for their health: /healthz over TLS, and etcd by its storage.
import type { Env } from "@coxswain/env";
import type { Storage } from "@coxswain/storage";
import type { TlsMaterial } from "@coxswain/component-base/tls-files";
import type { ComponentHealth, ComponentProbe, ComponentProbes } from "../registry/component-statuses.ts";
import { dialTcp, unreachableReason, type Dial } from "../rest/proxy/proxy-transport.ts";
import { fetchRemote, type RemoteAnswer } from "./remote-fetch.ts";

/** Where a part answers, as in {name: "scheduler", host: "127.0.0.1", port: 10259}. */
export interface ComponentAddress {
  readonly name: string;
  readonly host: string;
  readonly port: number;
}

export interface ComponentProbesDeps {
  readonly env: Env;
  readonly storage: Storage;
  /** False: there is no etcd to speak of. */
  readonly etcd: boolean;
  readonly components: readonly ComponentAddress[];
  readonly clientTls: TlsMaterial;
  readonly dial?: Dial;
}

/** @throws Error for anything but NAME=HOST:PORT */
export function parseComponentAddress(text: string): ComponentAddress {
  const [, name, bracketed, host = bracketed, digits] =
    /^([^=]+)=(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (name === undefined || host === undefined || !(port >= 1 && port <= 65_535)) {
    throw new Error(`Invalid value: ${JSON.stringify(text)}: must be NAME=HOST:PORT`);
  }
  return { name, host, port };
}

/** What an answer to /healthz means; upstream's probe takes every code from 200 to 399 for health. Pure. */
export function healthOf({ code, body }: RemoteAnswer): ComponentHealth {
  const healthy = code >= 200 && code < 400;
  return { healthy, message: healthy ? body.toString("utf8").trim() : `HTTP probe failed with statuscode: ${code}` };
}

function httpsProbe({ host, port }: ComponentAddress, deps: ComponentProbesDeps): ComponentProbe {
  const { ca, cert, key } = deps.clientTls;
  // Whoever is there answers for the part, by whatever name it is called.
  const tls = { ca, cert, key, checkServerIdentity: () => undefined };
  const target = { scheme: "https" as const, host, port, dial: deps.dial ?? dialTcp, timers: deps.env.timers, tls };
  return async (signal) => {
    try {
      return healthOf(await fetchRemote(target, "/healthz", signal));
    } catch (error) {
      const where = `https://${host.includes(":") ? `[${host}]` : host}:${port}/healthz`;
      return { healthy: false, message: `Get "${where}": ${unreachableReason(target, error)}` };
    }
  };
}

function etcdProbe(storage: Storage): ComponentProbe {
  return async () => {
    try {
      await storage.ping();
      return { healthy: true, message: "ok" };
    } catch (error) {
      return { healthy: false, message: error instanceof Error ? error.message : String(error) };
    }
  };
}

export function createComponentProbes(deps: ComponentProbesDeps): ComponentProbes {
  const probes = new Map<string, ComponentProbe>();
  for (const component of deps.components) probes.set(component.name, httpsProbe(component, deps));
  if (deps.etcd) probes.set("etcd-0", etcdProbe(deps.storage));
  return probes;
}
