// One request to a remote api-server, whole. Guarantees: it ends within its time limit, and holds no more than its size limit.
import { request as httpRequest } from "node:http";
import type { IncomingMessage } from "node:http";
import type { UserInfo } from "@coxswain/component-base";
import { readAtMost } from "@coxswain/component-base/read-at-most";
import { identityHeaders } from "../rest/proxy/proxy-headers.ts";
import { openSocket } from "../rest/proxy/proxy-transport.ts";
import type { ProxyTarget } from "../rest/proxy/proxy-transport.ts";

const TIMEOUT_MS = 5_000;
const MAX_BYTES = 32 * 1024 * 1024;
const AGGREGATOR = { username: "system:kube-aggregator", groups: ["system:masters"] };

export interface RemoteWrite {
  readonly method: "PATCH" | "DELETE";
  readonly contentType: string;
  readonly body: Buffer;
}

export interface RemoteAnswer {
  readonly code: number;
  readonly body: Buffer;
}

/** A GET where nothing is written; as the aggregator itself, who may read everything, where no user is named. Rejects where no whole answer comes. */
export async function fetchRemote(
  target: ProxyTarget,
  path: string,
  signal: AbortSignal,
  user: UserInfo = AGGREGATOR,
  write?: RemoteWrite,
): Promise<RemoteAnswer> {
  const headers = ["Accept", "application/json", "Host", target.host, "Connection", "close"];
  if (write !== undefined) {
    headers.push("Content-Type", write.contentType, "Content-Length", String(write.body.length));
  }
  const outgoing = httpRequest({
    method: write?.method ?? "GET",
    path,
    headers: [...headers, ...identityHeaders(user)],
    createConnection: () => openSocket(target),
  });
  const late = target.timers.setTimeout(() => outgoing.destroy(new Error("context deadline exceeded")), TIMEOUT_MS);
  const stop = (): void => void outgoing.destroy(new Error("context canceled"));
  signal.addEventListener("abort", stop, { once: true });
  try {
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      outgoing.once("response", resolve).on("error", reject);
      outgoing.end(write?.body);
    });
    return { code: answer.statusCode ?? 0, body: await readAtMost(answer, MAX_BYTES) };
  } finally {
    target.timers.clear(late);
    signal.removeEventListener("abort", stop);
    outgoing.destroy();
  }
}
