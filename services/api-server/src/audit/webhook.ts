// The audit webhook: how a list of events is sent where its kubeconfig points. An answer that is none of success is a
// failure, whatever its code: the receiver may come to its senses.
// https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#webhook-backend
import { Agent, request } from "undici";
import type { KubeconfigTarget } from "../kubeconfig.ts";
import type { SendBatch } from "./delivery.ts";

export class AuditWebhookError extends Error {
  override readonly name = "AuditWebhookError";
}

const TIMEOUT_MS = 30_000;

/** Events as an EventList. */
export function eventList(events: readonly string[]): string {
  return `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[${events.join(",")}]}`;
}

export interface WebhookSender {
  readonly send: SendBatch;
  close(): Promise<void>;
}

export function createWebhookSender({ url, tls, authorization }: KubeconfigTarget): WebhookSender {
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
