// HTTP extenders: what they are asked, what their answers do, and what becomes of pods where they fail.
import { EVENTS, NODES, PODS, type Event, type Node, type Pod } from "@coxswain/api";
import { createMemoryCluster } from "@coxswain/client/memory/memory-cluster";
import { createRealEnv, VirtualEnv } from "@coxswain/env";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { makeProfiles } from "../src/config/make-profiles.ts";
import { parseSchedulerConfiguration } from "../src/config/scheduler-configuration.ts";
import { Extender, ExtenderError, type ExtenderConfiguration } from "../src/extenders/extender.ts";
import { createHttpTransport } from "../src/extenders/http-transport.ts";
import { makePodInfo } from "../src/pod-info.ts";
import { node, pod } from "./fixtures.ts";
import { schedulerOn } from "./whole-scheduler.ts";

const HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";

/** What the configuration `extender` (YAML in braces) says. */
const configuration = (extender: string) => parseSchedulerConfiguration(`${HEAD}extenders: [${extender}]`);

type Answer = (body: Record<string, unknown>) => unknown;
interface Call {
  readonly verb: string;
  readonly body: Record<string, unknown>;
}

function setup(extender: string, answers: Record<string, Answer>) {
  const env = new VirtualEnv({ seed: 4 });
  const cluster = createMemoryCluster({ env, latencyMs: () => 1 });
  const calls: Call[] = [];
  const read = configuration(extender);
  const callExtender = async (_: ExtenderConfiguration, verb: string, sent: unknown): Promise<unknown> => {
    // Over the wire and back.
    const body = JSON.parse(JSON.stringify(sent)) as Record<string, unknown>;
    calls.push({ verb, body });
    await env.timers.sleep(5);
    return answers[verb]!(body);
  };
  const options = { profiles: makeProfiles(read, new Map()), extenders: read.extenders };
  void schedulerOn(env, cluster, { options, callExtender }).run(new AbortController().signal);
  const find = (name: string): Pod | undefined => cluster.objects<Pod>(PODS).find((one) => one.metadata!.name === name);
  const messages = (name: string): string[] =>
    cluster.objects<Event>(EVENTS).flatMap((one) => (one.involvedObject.name === name ? [one.message ?? ""] : []));
  return { env, cluster, calls, find, messages };
}

const URL_PREFIX = 'urlPrefix: "http://extender/v1"';
async function until({ env }: ReturnType<typeof setup>, done: () => boolean): Promise<void> {
  expect(await env.runUntil(done, env.elapsedMs + 20_000)).toBe(true);
}

describe("the scheduler asks", () => {
  test("which nodes pass, and which is the best of these", async () => {
    const of = setup(
      `{ ${URL_PREFIX}, filterVerb: filter, prioritizeVerb: prioritize, weight: 5, nodeCacheCapable: true }`,
      {
        filter: ({ NodeNames }) => ({
          NodeNames: (NodeNames as string[]).filter((name) => name !== "a"),
          FailedNodes: { a: "no licence" },
        }),
        prioritize: () => [
          { Host: "b", Score: 1 },
          { Host: "c", Score: 10 },
        ],
      },
    );
    for (const name of ["a", "b", "c"]) of.cluster.seed(NODES, node(name));
    of.cluster.seed(PODS, pod("p"));
    await until(of, () => of.find("p")?.spec?.nodeName !== undefined);
    expect(of.find("p")!.spec!.nodeName).toBe("c");
    expect(of.calls.map(({ verb }) => verb)).toEqual(["filter", "prioritize"]);
    expect(of.calls[0]!.body["Nodes"]).toBeNull();
    expect((of.calls[0]!.body["NodeNames"] as string[]).toSorted()).toEqual(["a", "b", "c"]);
    expect((of.calls[0]!.body["Pod"] as Pod).metadata!.name).toBe("p");
    expect((of.calls[1]!.body["NodeNames"] as string[]).toSorted()).toEqual(["b", "c"]);
  });

  test("with whole nodes where the extender keeps none, and says its reasons", async () => {
    const of = setup(`{ ${URL_PREFIX}, filterVerb: filter }`, {
      filter: () => ({
        nodes: { items: [] },
        failedNodes: { a: "no licence" },
        failedAndUnresolvableNodes: { b: "too old" },
      }),
    });
    for (const name of ["a", "b"]) of.cluster.seed(NODES, node(name));
    of.cluster.seed(PODS, pod("p"));
    await until(of, () => of.messages("p").length > 0);
    expect(of.messages("p")[0]).toContain("0/2 nodes are available: 1 no licence, 1 too old.");
    const { items } = of.calls[0]!.body["Nodes"] as { items: Node[] };
    expect(items.map((one) => one.metadata!.name!).toSorted()).toEqual(["a", "b"]);
    expect(of.calls[0]!.body["NodeNames"]).toBeNull();
    expect(of.find("p")!.spec!.nodeName).toBeUndefined();
  });

  test("nobody about pods without the resources that the extender manages, and leaves these to it", async () => {
    const managed = "managedResources: [{ name: example.com/gpu, ignoredByScheduler: true }]";
    const of = setup(`{ ${URL_PREFIX}, filterVerb: filter, nodeCacheCapable: true, ${managed} }`, {
      filter: ({ NodeNames }) => ({ NodeNames }),
    });
    of.cluster.seed(NODES, node("a"));
    of.cluster.seed(PODS, pod("plain"));
    of.cluster.seed(PODS, pod("gpu", { requests: { "example.com/gpu": "1" } }));
    await until(of, () => ["plain", "gpu"].every((name) => of.find(name)?.spec?.nodeName === "a"));
    expect(of.calls.map(({ body }) => (body["Pod"] as Pod).metadata!.name)).toEqual(["gpu"]);
  });

  test("whom to preempt", async () => {
    const uid = (name: string): string => of.find(name)!.metadata!.uid!;
    const of = setup(`{ ${URL_PREFIX}, preemptVerb: preempt, nodeCacheCapable: true }`, {
      preempt: () => ({ NodeNameToMetaVictims: { b: { Pods: [{ UID: uid("y") }], NumPDBViolations: 0 } } }),
    });
    for (const name of ["a", "b"]) of.cluster.seed(NODES, node(name, {}, { cpu: "1" }));
    // By itself the scheduler would choose the less important one.
    of.cluster.seed(PODS, pod("x", { on: "a", priority: 1, requests: { cpu: "1" } }));
    of.cluster.seed(PODS, pod("y", { on: "b", priority: 2, requests: { cpu: "1" } }));
    of.cluster.seed(PODS, pod("p", { priority: 10, requests: { cpu: "1" } }));
    await until(of, () => of.find("p")?.status?.nominatedNodeName !== undefined);
    expect(of.find("p")!.status!.nominatedNodeName).toBe("b");
    expect(of.calls[0]!.body["NodeNameToMetaVictims"]).toEqual({
      a: { Pods: [{ UID: uid("x") }], NumPDBViolations: 0 },
      b: { Pods: [{ UID: uid("y") }], NumPDBViolations: 0 },
    });
    await until(of, () => of.find("y")!.metadata!.deletionTimestamp !== undefined);
    expect(of.find("x")!.metadata!.deletionTimestamp).toBeUndefined();
  });

  test("it to bind, and does not bind itself", async () => {
    const of = setup(`{ ${URL_PREFIX}, bindVerb: bind }`, { bind: () => ({ Error: "out of order" }) });
    of.cluster.seed(NODES, node("a"));
    of.cluster.seed(PODS, pod("p"));
    await until(of, () => of.messages("p").length > 0);
    expect(of.messages("p")[0]).toBe("binding rejected: out of order");
    expect(of.calls[0]).toEqual({
      verb: "bind",
      body: { PodName: "p", PodNamespace: "default", PodUID: of.find("p")!.metadata!.uid, Node: "a" },
    });
    expect(of.find("p")!.spec!.nodeName).toBeUndefined();
  });
});

describe("an extender that fails", () => {
  const broken = { filter: () => Promise.reject(new Error("connect ECONNREFUSED")) };

  test("costs the pod its attempt", async () => {
    const of = setup(`{ ${URL_PREFIX}, filterVerb: filter }`, broken);
    of.cluster.seed(NODES, node("a"));
    of.cluster.seed(PODS, pod("p"));
    await until(of, () => of.messages("p").length > 0);
    expect(of.messages("p")[0]).toBe("connect ECONNREFUSED");
  });

  test("is passed over where it may be ignored", async () => {
    const of = setup(`{ ${URL_PREFIX}, filterVerb: filter, ignorable: true }`, broken);
    of.cluster.seed(NODES, node("a"));
    of.cluster.seed(PODS, pod("p"));
    await until(of, () => of.find("p")?.spec?.nodeName === "a");
  });

  test("by naming nodes that it was not asked about", async () => {
    const [extender] = configuration(`{ ${URL_PREFIX}, filterVerb: filter, nodeCacheCapable: true }`).extenders;
    const asked = new Extender(extender!, () => Promise.resolve({ NodeNames: ["z"] })).filter(pod("p"), [node("a")]);
    await expect(asked).rejects.toThrow('claims a filtered node "z" which is not found in the input node list');
  });
});

test("configurations are read as they are written", () => {
  const tls = `tlsConfig: { serverName: e, caData: ${Buffer.from("PEM").toString("base64")} }`;
  const [extender] = configuration(
    `{ ${URL_PREFIX}, filterVerb: f, httpTimeout: 1m1.5s, enableHTTPS: true, ${tls} }`,
  ).extenders;
  expect(extender).toMatchObject({ httpTimeoutMs: 61_500, enableHTTPS: true, tls: { serverName: "e", caData: "PEM" } });
  expect(configuration(`{ ${URL_PREFIX} }`).extenders[0]).toMatchObject({
    httpTimeoutMs: 5_000,
    weight: 0,
    tls: undefined,
  });
  const managed = configuration(`{ ${URL_PREFIX}, managedResources: [{ name: a/b }] }`).extenders[0]!;
  const interested = (requests: Record<string, string>): boolean =>
    new Extender(managed, () => Promise.resolve({})).isInterested(makePodInfo(pod("p", { requests })));
  expect([interested({ "a/b": "1" }), interested({ cpu: "1" })]).toEqual([true, false]);
});

test("over HTTP: a POST of JSON, refusals by status, and an end to waiting", async () => {
  const env = createRealEnv();
  const heard: string[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      heard.push(
        `${request.method} ${request.url} ${request.headers["content-type"]} ${Buffer.concat(chunks).toString()}`,
      );
      if (request.url === "/v1/slow") return;
      response.statusCode = request.url === "/v1/bad" ? 500 : 200;
      response.end(JSON.stringify({ ok: true }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as AddressInfo;
    const [extender] = configuration(`{ urlPrefix: "http://127.0.0.1:${port}/v1/", httpTimeout: 50ms }`).extenders;
    const [patient] = configuration(`{ urlPrefix: "http://127.0.0.1:${port}/v1/" }`).extenders;
    const call = createHttpTransport(env.timers);
    expect(await call(patient!, "filter", { a: 1 })).toEqual({ ok: true });
    expect(heard).toEqual(['POST /v1/filter application/json {"a":1}']);
    const refused = call(patient!, "bad", {});
    await expect(refused).rejects.toThrow(`failed bad with extender at URL http://127.0.0.1:${port}/v1/bad, code 500`);
    await expect(refused).rejects.toBeInstanceOf(ExtenderError);
    await expect(call(extender!, "slow", {})).rejects.toThrow("no answer within 50 ms");
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
