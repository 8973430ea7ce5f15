// A metrics adapter for tests: custom.metrics.k8s.io and external.metrics.k8s.io over TLS on loopback, with figures that the test
// sets. Guarantee: what has no figure is answered 404 with the Status that real adapters send.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { certificateFiles, ensurePki } from "@coxswain/component-base/identity/pki";
import { createRealEnv } from "@coxswain/env";

export interface MetricsAdapter extends AsyncDisposable {
  readonly port: number;
  /** Base64, as an APIService has it. */
  readonly caBundle: string;
  /** Paths with their queries that were asked for, oldest first, without discovery. */
  readonly asked: string[];
  /** The items that a path without its query is answered with; undefined takes them away. */
  answer(where: string, items: readonly object[] | undefined): void;
  /** Instead of any answer: a code with a text. Undefined heals. */
  fail(code: number | undefined): void;
}

/** `name`: the one that its certificate, of an authority of its own, is for: SERVICE.NAMESPACE.svc. */
export async function startMetricsAdapter(name: string): Promise<MetricsAdapter> {
  const pki = mkdtempSync(path.join(tmpdir(), "cox-adapter-"));
  await ensurePki(pki, { nodes: [], apiServerNames: [name] }, createRealEnv());
  const [cert, key, ca] = pemFiles(pki);
  rmSync(pki, { recursive: true });
  const answers = new Map<string, readonly object[]>();
  const asked: string[] = [];
  let failure: number | undefined;
  const send = (response: ServerResponse, code: number, body: object): void => {
    response.writeHead(code, { "content-type": "application/json" }).end(JSON.stringify(body));
  };
  const server = createServer({ cert, key }, (request, response) => {
    const url = request.url ?? "";
    const [where = ""] = url.split("?");
    const [, , group = "", version = "", ...rest] = where.split("/");
    if (rest.length === 0) {
      send(response, 200, {
        kind: "APIResourceList",
        apiVersion: "v1",
        groupVersion: `${group}/${version}`,
        resources: [],
      });
      return;
    }
    asked.push(url);
    const items = answers.get(decodeURIComponent(where));
    if (failure !== undefined) response.writeHead(failure).end("broken");
    else if (items === undefined) send(response, 404, notFound(`the server could not find the metric ${rest.at(-1)}`));
    else {
      const kind = group.startsWith("external") ? "ExternalMetricValueList" : "MetricValueList";
      send(response, 200, { kind, apiVersion: `${group}/${version}`, metadata: {}, items });
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    caBundle: ca.toString("base64"),
    asked,
    answer(where, items) {
      if (items === undefined) answers.delete(where);
      else answers.set(where, items);
    },
    fail: (code) => void (failure = code),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function pemFiles(pki: string): [Buffer, Buffer, Buffer] {
  const { certFile, keyFile, caFile } = certificateFiles(pki, "api-server");
  return [readFileSync(certFile), readFileSync(keyFile), readFileSync(caFile)];
}

const notFound = (message: string): object => ({
  kind: "Status",
  apiVersion: "v1",
  metadata: {},
  status: "Failure",
  message,
  reason: "NotFound",
  code: 404,
});
