// Reads a kubeconfig that names one service to ask: where it is, whose certificate it must show, and how this process proves who
// it is. Certificates and tokens alone: no program is run for credentials.
// https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { isJsonObject } from "@coxswain/apimachinery";
import { parse as parseYaml } from "yaml";

export interface KubeconfigTarget {
  readonly url: string;
  readonly tls: {
    readonly ca?: Buffer;
    readonly cert?: Buffer;
    readonly key?: Buffer;
    readonly servername?: string;
    readonly rejectUnauthorized?: boolean;
  };
  /** The Authorization header; undefined: none. */
  readonly authorization: string | undefined;
}

export class KubeconfigError extends Error {
  override readonly name = "KubeconfigError";
}

type Entry = Record<string, unknown>;

const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);

function named(list: unknown, name: string, part: string): Entry {
  const found: unknown = Array.isArray(list)
    ? list.find((each: unknown) => isJsonObject(each) && each["name"] === name)
    : undefined;
  const inner = isJsonObject(found) ? (found[part] ?? {}) : undefined;
  if (!isJsonObject(inner)) throw new KubeconfigError(`the kubeconfig has no ${part} ${JSON.stringify(name)}`);
  return inner;
}

/** Files that it names are looked for beside it. @throws KubeconfigError, and Error where a file cannot be read */
export function readKubeconfig(file: string): KubeconfigTarget {
  let parsed: unknown;
  try {
    parsed = parseYaml(readFileSync(file, "utf8"));
  } catch (error) {
    throw new KubeconfigError(`${file}: ${(error as Error).message}`);
  }
  const config = isJsonObject(parsed) ? parsed : {};
  const context = named(config["contexts"], text(config["current-context"]) ?? "", "context");
  const cluster = named(config["clusters"], text(context["cluster"]) ?? "", "cluster");
  const userName = text(context["user"]);
  const user = userName === undefined ? {} : named(config["users"], userName, "user");
  for (const unknown of ["exec", "auth-provider", "impersonate"]) {
    if (user[unknown] !== undefined) throw new KubeconfigError(`${file}: users[].user.${unknown} is not supported`);
  }
  const url = text(cluster["server"]);
  if (url === undefined || !URL.canParse(url)) throw new KubeconfigError(`${file}: the cluster has no server`);
  const bytes = (entry: Entry, key: string): Buffer | undefined => {
    const data = text(entry[`${key}-data`]);
    if (data !== undefined) return Buffer.from(data, "base64");
    const path = text(entry[key]);
    return path === undefined ? undefined : readFileSync(resolve(dirname(file), path));
  };
  return { url, tls: tlsOf(cluster, user, bytes), authorization: authorizationOf(user, bytes) };
}

type Bytes = (entry: Entry, key: string) => Buffer | undefined;

function tlsOf(cluster: Entry, user: Entry, bytes: Bytes): KubeconfigTarget["tls"] {
  const [ca, cert, key] = [
    bytes(cluster, "certificate-authority"),
    bytes(user, "client-certificate"),
    bytes(user, "client-key"),
  ];
  const servername = text(cluster["tls-server-name"]);
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    ...(servername === undefined ? {} : { servername }),
    ...(cluster["insecure-skip-tls-verify"] === true ? { rejectUnauthorized: false } : {}),
  };
}

function authorizationOf(user: Entry, bytes: Bytes): string | undefined {
  const token = text(user["token"]) ?? bytes({ token: user["tokenFile"] }, "token")?.toString("utf8").trim();
  if (token !== undefined) return `Bearer ${token}`;
  const [name, password] = [text(user["username"]), text(user["password"])];
  if (name === undefined) return undefined;
  return `Basic ${Buffer.from(`${name}:${password ?? ""}`).toString("base64")}`;
}
