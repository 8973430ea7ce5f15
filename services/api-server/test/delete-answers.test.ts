// What DELETE is answered with, kind by kind and form by form: a Status, or the object as it was last.
import { allKinds, type KindDefinition } from "@coxswain/api";
import { decodeProtobuf } from "@coxswain/api/wire/index";
import type { KubeObject } from "@coxswain/apimachinery";
import { Agent, request } from "undici";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createOpenApi } from "../src/openapi/openapi-documents.ts";
import { startTestServer, type TestServer } from "./support/test-server.ts";

const JSON_TYPE = "application/json";
const PROTO = "application/vnd.kubernetes.protobuf";

let server: TestServer;
let agent: Agent;

beforeAll(async () => {
  server = await startTestServer(["ServiceAccount"]);
  agent = new Agent({ connect: { ...server.tls("admin"), checkServerIdentity: () => undefined } as never });
});

afterAll(async () => {
  await agent.close();
  await server.close();
});

interface Answer {
  readonly code: number;
  readonly type: string;
  readonly bytes: Buffer;
}

async function send(method: string, path: string, body?: object, accept = JSON_TYPE): Promise<Answer> {
  const given = body === undefined ? {} : { body: JSON.stringify(body) };
  const headers = { accept, "content-type": JSON_TYPE };
  const response = await request(server.url + path, { method: method as "GET", dispatcher: agent, headers, ...given });
  const bytes = Buffer.from(await response.body.arrayBuffer());
  return { code: response.statusCode, type: String(response.headers["content-type"]), bytes };
}

interface Parsed extends KubeObject {
  status?: unknown;
  rows?: { cells: unknown[] }[];
}
const parsed = ({ bytes }: Answer): Parsed => JSON.parse(bytes.toString()) as Parsed;

async function create(path: string, object: object): Promise<KubeObject> {
  const answer = await send("POST", path, object);
  expect(answer.code, answer.bytes.toString()).toBe(201);
  return parsed(answer);
}

const claim = { resources: { requests: { storage: "1Gi" } }, accessModes: ["ReadWriteOnce"] };
const template = { metadata: {}, spec: { containers: [{ name: "c", image: "i" }] } };

/** What of a kind there must be besides its name. */
const BODIES: Readonly<Record<string, object>> = {
  PersistentVolumeClaim: { spec: claim },
  Pod: { spec: template.spec },
  PodTemplate: { template },
  ResourceQuota: { spec: { hard: { pods: "1" } } },
  ServiceAccount: {},
  Service: { spec: { ports: [{ port: 80 }] } },
  PersistentVolume: {
    spec: { capacity: { storage: "1Gi" }, accessModes: ["ReadWriteOnce"], hostPath: { path: "/tmp" } },
  },
  DeviceClass: { spec: {} },
  ResourceClaim: { spec: {} },
  ResourceClaimTemplate: { spec: { spec: {} } },
  ResourceSlice: {
    spec: { driver: "d.example.com", pool: { name: "p", generation: 1, resourceSliceCount: 1 }, allNodes: true },
  },
  CSIDriver: { spec: {} },
  CSINode: { spec: { drivers: [] } },
  StorageClass: { provisioner: "p.example.com" },
  VolumeAttachment: { spec: { attacher: "a", nodeName: "n", source: { persistentVolumeName: "v" } } },
  VolumeAttributesClass: { driverName: "d.example.com", parameters: { a: "b" } },
};
/** Finalizers that the server puts there itself hold these. */
const HELD = new Set(["PersistentVolumeClaim", "PersistentVolume"]);

const answering = allKinds().filter((kind) => kind.stored && kind.verbs.includes("delete") && kind.kind in BODIES);
const pathOf = ({ group, version, namespaced, resource }: KindDefinition): string =>
  `${group === "" ? "/api" : `/apis/${group}`}/${version}${namespaced ? "/namespaces/default" : ""}/${resource}`;

describe("an object that goes at once", () => {
  test.each(answering.map((kind) => [`${kind.group}/${kind.version} ${kind.kind}`, kind] as const))(
    "%s: is the answer",
    async (_name, kind) => {
      const apiVersion = kind.group === "" ? kind.version : `${kind.group}/${kind.version}`;
      const made = await create(pathOf(kind), {
        apiVersion,
        kind: kind.kind,
        metadata: { name: "gone" },
        ...BODIES[kind.kind],
      });
      const path = `${pathOf(kind)}/gone`;
      const held = HELD.has(kind.kind);
      if (held) {
        const kept = await send("DELETE", path);
        expect([kept.code, parsed(kept).metadata?.finalizers?.length]).toEqual([200, 1]);
        await send("PUT", path, {
          ...made,
          metadata: { ...made.metadata, resourceVersion: undefined, finalizers: [] },
        });
        return;
      }
      const answer = await send("DELETE", path);
      const { resourceVersion, generation: _, ...metadata } = made.metadata!;
      expect(answer.code).toBe(200);
      expect(parsed(answer)).toMatchObject({ apiVersion, kind: kind.kind, metadata });
      expect(BigInt(parsed(answer).metadata!.resourceVersion!)).toBeGreaterThan(BigInt(resourceVersion!));
      expect((await send("GET", path)).code).toBe(404);
    },
  );

  test("is told by a Status for other kinds, which has no code", async () => {
    const path = "/apis/apps/v1/namespaces/default/controllerrevisions";
    const { metadata } = await create(path, { metadata: { name: "gone" }, revision: 1, data: {} });
    const answer = await send("DELETE", `${path}/gone`);
    expect(answer.code).toBe(200);
    expect(parsed(answer)).toEqual({
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Success",
      details: { name: "gone", group: "apps", kind: "controllerrevisions", uid: metadata?.uid },
    });
  });

  test("is a Table, metadata or protobuf where that is asked for", async () => {
    const path = "/api/v1/namespaces/default/serviceaccounts";
    const gone = async (accept: string): Promise<Answer> => {
      await create(path, { metadata: { name: "formed" } });
      return await send("DELETE", `${path}/formed`, undefined, accept);
    };
    const { kind, rows = [] } = parsed(await gone(`${JSON_TYPE};as=Table;v=v1;g=meta.k8s.io`));
    expect([kind, rows.length, rows[0]!.cells[0]]).toEqual(["Table", 1, "formed"]);
    const partial = parsed(await gone(`${JSON_TYPE};as=PartialObjectMetadata;v=v1;g=meta.k8s.io`));
    expect(partial).toMatchObject({ kind: "PartialObjectMetadata", metadata: { name: "formed" } });
    const proto = await gone(PROTO);
    expect(proto.type).toBe(PROTO);
    expect(decodeProtobuf(proto.bytes)).toMatchObject({ kind: "ServiceAccount", metadata: { name: "formed" } });
  });

  test("stays as it is in a dry run, which is answered the same", async () => {
    const path = "/api/v1/namespaces/default/serviceaccounts";
    const made = await create(path, { metadata: { name: "dry" } });
    const answer = await send("DELETE", `${path}/dry?dryRun=All`);
    expect(parsed(answer).metadata).toEqual(made.metadata);
    expect((await send("GET", `${path}/dry`)).code).toBe(200);
  });

  test("of a pod says when it ended", async () => {
    const made = await create("/api/v1/namespaces/default/pods", { metadata: { name: "ended" }, spec: template.spec });
    const { metadata } = parsed(await send("DELETE", "/api/v1/namespaces/default/pods/ended"));
    expect(metadata).toMatchObject({ uid: made.metadata?.uid, deletionGracePeriodSeconds: 0 });
    expect(metadata?.deletionTimestamp).toBeDefined();
    expect(metadata?.managedFields).toEqual(made.metadata?.managedFields);
  });
});

describe("an object that stays for a while", () => {
  const path = "/api/v1/namespaces/default/configmaps";
  const held = (name: string): Promise<KubeObject> =>
    create(path, { metadata: { name, finalizers: ["example.com/hold"] } });
  const release = (name: string, metadata = {}): Promise<Answer> =>
    send("PUT", `${path}/${name}`, { metadata: { name, ...metadata } });

  test.each([
    ["a policy", "?propagationPolicy=Background", undefined, 200],
    ["Foreground", "", { propagationPolicy: "Foreground" }, 200],
    ["Orphan", "", { propagationPolicy: "Orphan" }, 200],
    ["orphanDependents=false in the body", "", { orphanDependents: false }, 202],
    ["orphanDependents=false in the query", "?orphanDependents=false", undefined, 202],
    ["orphanDependents=true", "?orphanDependents=true", undefined, 200],
  ])("with %s", async (_, query, body, code) => {
    await held("held");
    const answer = await send("DELETE", `${path}/held${query}`, body);
    expect(answer.code).toBe(code);
    expect(parsed(answer)).toMatchObject({ kind: "ConfigMap", metadata: { deletionGracePeriodSeconds: 0 } });
    const again = await send("DELETE", `${path}/held`);
    expect([again.code, parsed(again).kind]).toEqual([200, "ConfigMap"]);
    await release("held");
    expect((await send("GET", `${path}/held`)).code).toBe(404);
  });

  test("and loses what held it: the update is answered with what it made of it", async () => {
    await held("freed");
    await send("DELETE", `${path}/freed`);
    const answer = await release("freed", { labels: { last: "words" } });
    expect(answer.code).toBe(200);
    expect(parsed(answer).metadata).toMatchObject({ name: "freed", labels: { last: "words" } });
    expect(parsed(answer).metadata?.finalizers).toBeUndefined();
    expect((await send("GET", `${path}/freed`)).code).toBe(404);
  });

  test("is a namespace, which is on its way", async () => {
    await create("/api/v1/namespaces", { metadata: { name: "leaving" } });
    for (const time of ["first", "second"]) {
      const answer = await send("DELETE", "/api/v1/namespaces/leaving");
      expect([time, answer.code, parsed(answer).status]).toEqual([time, 200, { phase: "Terminating" }]);
    }
  });

  test("is a pod with its grace period, less than none of which is a second", async () => {
    const pods = "/api/v1/namespaces/default/pods";
    const spec = { ...template.spec, nodeName: "node-1", terminationGracePeriodSeconds: 20 };
    await create(pods, { metadata: { name: "bound" }, spec });
    const graces: (number | undefined)[] = [];
    for (const query of ["", "?gracePeriodSeconds=30", "?gracePeriodSeconds=-5", "?gracePeriodSeconds=0"]) {
      const answer = await send("DELETE", `${pods}/bound${query}`);
      expect([query, answer.code, parsed(answer).kind]).toEqual([query, 200, "Pod"]);
      graces.push(parsed(answer).metadata?.deletionGracePeriodSeconds);
    }
    expect(graces).toEqual([20, 20, 1, 0]);
    expect((await send("GET", `${pods}/bound`)).code).toBe(404);
  });
});

test("OpenAPI tells what each operation may answer", () => {
  const openApi = createOpenApi(allKinds());
  const v2 = openApi.v2() as {
    paths: Record<string, Record<string, { responses?: Record<string, { schema?: { $ref: string } }> }>>;
  };
  const told = (path: string, method: string): Record<string, string> =>
    Object.fromEntries(
      Object.entries(v2.paths[path]?.[method]?.responses ?? {}).map(([code, { schema }]) => [
        code,
        schema?.$ref.split(".").at(-1) ?? "",
      ]),
    );
  for (const kind of allKinds().filter(({ stored, verbs }) => stored && verbs.includes("delete"))) {
    const path = pathOf(kind).replace("/default/", "/{namespace}/");
    const answer = kind.kind in BODIES ? kind.kind : "Status";
    expect(told(`${path}/{name}`, "delete"), path).toEqual({ "200": answer, "202": answer, "401": "" });
    if (kind.verbs.includes("deletecollection")) {
      expect(told(path, "delete"), path).toEqual({ "200": "Status", "401": "" });
    }
  }
  const path = "/api/v1/namespaces/{namespace}/pods";
  expect(told(path, "post")).toEqual({ "200": "Pod", "201": "Pod", "202": "Pod", "401": "" });
  expect(told(`${path}/{name}`, "put")).toEqual({ "200": "Pod", "201": "Pod", "401": "" });
  expect(told(`${path}/{name}`, "patch")).toEqual({ "200": "Pod", "201": "Pod", "401": "" });
  expect(told(`${path}/{name}`, "get")).toEqual({ "200": "Pod", "401": "" });
});
