// The audit webhook: where its kubeconfig points, and how a list of events is sent there. An answer that is none of success is a
// failure, whatever its code: the receiver may come to its senses.
// https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#webhook-backend
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { isJsonObject } from "@coxswain/apimachinery";
import { Agent, request } from "undici";
import { parse as parseYaml } from "yaml";
import type { SendBatch } from "./delivery.ts";

export interface WebhookTarget {
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

export class AuditWebhookError extends Error {
  override readonly name = "AuditWebhookError";
}

type Entry = Record<string, unknown>;

const TIMEOUT_MS = 30_000;

const text = (value: unknown): string | undefined => (typeof value === "string" && value !== "" ? value : undefined);

function named(list: unknown, name: string, part: string): Entry {
  const found: unknown = Array.isArray(list)
    ? list.find((each: unknown) => isJsonObject(each) && each["name"] === name)
    : undefined;
  const inner = isJsonObject(found) ? found[part] : undefined;
  if (!isJsonObject(inner)) throw new AuditWebhookError(`the kubeconfig has no ${part} ${JSON.stringify(name)}`);
  return inner;
}

/** The file's text is a kubeconfig; other files are looked for beside it. @throws AuditWebhookError */
export function readWebhookConfig(file: string): WebhookTarget {
  let parsed: unknown;
  try {
    parsed = parseYaml(readFileSync(file, "utf8"));
  } catch (error) {
    throw new AuditWebhookError(`${file}: ${(error as Error).message}`);
  }
  const config = isJsonObject(parsed) ? parsed : {};
  const context = named(config["contexts"], text(config["current-context"]) ?? "", "context");
  const cluster = named(config["clusters"], text(context["cluster"]) ?? "", "cluster");
  const userName = text(context["user"]);
  const user = userName === undefined ? {} : named(config["users"], userName, "user");
  for (const unknown of ["exec", "auth-provider", "impersonate"]) {
    if (user[unknown] !== undefined) throw new AuditWebhookError(`${file}: users[].user.${unknown} is not supported`);
  }
  const url = text(cluster["server"]);
  if (url === undefined || !URL.canParse(url)) throw new AuditWebhookError(`${file}: the cluster has no server`);
  const bytes = (entry: Entry, key: string): Buffer | undefined => {
    const data = text(entry[`${key}-data`]);
    if (data !== undefined) return Buffer.from(data, "base64");
    const path = text(entry[key]);
    return path === undefined ? undefined : readFileSync(resolve(dirname(file), path));
  };
  return { url, tls: tlsOf(cluster, user, bytes), authorization: authorizationOf(user, bytes) };
}

type Bytes = (entry: Entry, key: string) => Buffer | undefined;

function tlsOf(cluster: Entry, user: Entry, bytes: Bytes): WebhookTarget["tls"] {
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

/** Events as an EventList. */
export function eventList(events: readonly string[]): string {
  return `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[${events.join(",")}]}`;
}

export interface WebhookSender {
  readonly send: SendBatch;
  close(): Promise<void>;
}

export function createWebhookSender({ url, tls, authorization }: WebhookTarget): WebhookSender {
  const agent = new Agent({ connect: tls, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS });
  return {
    async send(events) {
      const { statusCode, body } = await request(url, {
        dispatcher: agent,
        method: "POST",
        headers: {
          "content-type": "application/json",
          accept: "application/json, */*",
          ...(authorization === undefined ? {} : { authorization }),
        },
        body: eventList(events),
      });
      await body.dump();
      if (statusCode < 200 || statusCode > 299) throw new AuditWebhookError(`the webhook answered ${statusCode}`);
    },
    close: () => agent.close(),
  };
}
