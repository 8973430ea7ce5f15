// Files that containers find in volumes of every kind: their content, their modes, their owners, and how changes reach them.
import { expect } from "vitest";
import { eventually } from "../../integration/cluster-fixture.ts";
import { conformsShared } from "../conforms.ts";
import { at } from "../rest-client.ts";
import type { SharedCluster } from "../shared-cluster.ts";
import { BUSYBOX, isReady, logOf, type Part, runToEnd, scriptPod, untilPhase } from "./real-pods.ts";

type Kind = "configMap" | "secret";
interface SourceWish {
  readonly items?: readonly Part[];
  readonly optional?: boolean;
}

/** A volume of a ConfigMap or Secret, on its own or as the only part of a projection. */
function volumeOf(
  name: string,
  kind: Kind,
  object: string,
  projected: boolean,
  wish: SourceWish = {},
  defaultMode?: number,
): Part {
  const mode = defaultMode === undefined ? {} : { defaultMode };
  if (projected) return { name, projected: { sources: [{ [kind]: { name: object, ...wish } }], ...mode } };
  return { name, [kind]: { [kind === "secret" ? "secretName" : "name"]: object, ...wish, ...mode } };
}

const mountAt = (name: string, mountPath: string, more: Part = {}): Part => ({
  name,
  mountPath,
  readOnly: true,
  ...more,
});
/** Prints a file and the modes of what it leads to. */
const show = (file: string): string => `cat ${file}; echo; ls -lL ${file} | cut -c1-10`;
const NON_ROOT = { securityContext: { runAsUser: 1000, runAsNonRoot: true } };

/** ConfigMaps take text and Secrets take base64; both take this. */
async function put(
  c: SharedCluster,
  ns: string,
  kind: Kind,
  name: string,
  data: Record<string, string>,
): Promise<void> {
  const body = kind === "secret" ? { stringData: data } : { data };
  await c.api.resource("v1", kind === "secret" ? "secrets" : "configmaps", ns).create({ metadata: { name }, ...body });
}

const DATA = { "data-1": "value-1", "data-2": "value-2", "data-3": "value-3" };

interface FilesWish {
  readonly kind: Kind;
  readonly projected: boolean;
  readonly items?: readonly Part[];
  readonly defaultMode?: number;
  readonly pod?: Part;
  readonly file?: string;
  readonly says: string;
}

/** A pod that mounts the object and shows one file of it. */
async function showsFile(c: SharedCluster, wish: FilesWish): Promise<void> {
  const ns = await c.namespace("volume");
  await put(c, ns, wish.kind, "object", DATA);
  const volume = volumeOf(
    "v",
    wish.kind,
    "object",
    wish.projected,
    wish.items === undefined ? {} : { items: wish.items },
    wish.defaultMode,
  );
  const pod = scriptPod(
    show(`/etc/v/${wish.file ?? "data-1"}`),
    { volumeMounts: [mountAt("v", "/etc/v")] },
    { volumes: [volume], ...wish.pod },
  );
  expect(await runToEnd(c, ns, pod)).toBe(wish.says);
}

const RENAMED = [{ key: "data-2", path: "path/to/data-2" }];

for (const [area, kind, projected] of [
  ["ConfigMap volume", "configMap", false],
  ["projected configMap", "configMap", true],
  ["Secret volume", "secret", false],
  ["projected secret", "secret", true],
] as const) {
  const row = conformsShared(area);
  const base = { kind, projected };
  row("files readable", (c) => showsFile(c, { ...base, says: "value-1\n-rw-r--r--\n" }));
  row("defaultMode", (c) => showsFile(c, { ...base, defaultMode: 0o400, says: "value-1\n-r--------\n" }));
  if (kind === "secret") {
    const pod = { securityContext: { runAsUser: 1000, fsGroup: 1001 } };
    row("non-root with defaultMode and fsGroup", (c) =>
      showsFile(c, { ...base, defaultMode: 0o440, pod, says: "value-1\n-r--r-----\n" }),
    );
  }
  if (area !== "projected secret") {
    const mapped = { ...base, items: RENAMED, file: "path/to/data-2", says: "value-2\n-rw-r--r--\n" };
    row(area === "ConfigMap volume" ? "key-to-path mappings" : "mappings", (c) => showsFile(c, mapped));
    if (kind === "configMap") row("mappings as non-root", (c) => showsFile(c, { ...mapped, pod: NON_ROOT }));
  }
  if (area === "ConfigMap volume")
    row("files readable as non-root", (c) => showsFile(c, { ...base, pod: NON_ROOT, says: "value-1\n-rw-r--r--\n" }));
  if (projected) {
    row("two volumes in one pod", async (c) => {
      const ns = await c.namespace("volume");
      await put(c, ns, kind, "object", DATA);
      const volumes = ["one", "two"].map((name) => volumeOf(name, kind, "object", true));
      const volumeMounts = [mountAt("one", "/etc/one"), mountAt("two", "/etc/two")];
      const pod = scriptPod("cat /etc/one/data-1; echo; cat /etc/two/data-1", { volumeMounts }, { volumes });
      expect(await runToEnd(c, ns, pod)).toBe("value-1\nvalue-1");
    });
  }
  row(
    "optional maps created/updated/deleted live".replace("maps", kind === "secret" ? "secrets" : "maps"),
    (c) => followsOptional(c, kind, projected),
    { timeoutMs: 200_000 },
  );
  if (kind === "configMap")
    row("update reaches the volume", (c) => followsUpdate(c, projected), { timeoutMs: 200_000 });
}

/** A kubelet looks at least once a minute, and some seconds later it is written. */
const SYNCED_MS = 150_000;
const REPEAT = (files: readonly string[]): string =>
  `while true; do for f in ${files.join(" ")}; do echo "$f $(cat $f 2>/dev/null || echo none)"; done; sleep 1; done`;

/** The last that the pod wrote about a file. */
async function lastOf(c: SharedCluster, ns: string, file: string): Promise<string | undefined> {
  const lines = (await logOf(c, ns, "main")).split("\n");
  return lines.findLast((line) => line.startsWith(`${file} `))?.slice(file.length + 1);
}

async function becomes(c: SharedCluster, ns: string, file: string, text: string): Promise<void> {
  await eventually(
    () => lastOf(c, ns, file),
    (now) => now === text,
    SYNCED_MS,
  );
}

async function followsUpdate(c: SharedCluster, projected: boolean): Promise<void> {
  const ns = await c.namespace("volume");
  await put(c, ns, "configMap", "object", DATA);
  const volumes = [volumeOf("v", "configMap", "object", projected)];
  const pods = c.api.resource("v1", "pods", ns);
  await pods.create(scriptPod(REPEAT(["/etc/v/data-1"]), { volumeMounts: [mountAt("v", "/etc/v")] }, { volumes }));
  await untilPhase(c, ns, "main", "Running");
  await becomes(c, ns, "/etc/v/data-1", "value-1");
  await c.api.resource("v1", "configmaps", ns).patch("object", { data: { "data-1": "value-2" } });
  await becomes(c, ns, "/etc/v/data-1", "value-2");
  await pods.delete("main", { gracePeriodSeconds: 0 });
}

/** One object that goes, one that changes, and one that comes, all optional. */
async function followsOptional(c: SharedCluster, kind: Kind, projected: boolean): Promise<void> {
  const ns = await c.namespace("volume");
  const names = ["goes", "changes", "comes"];
  await put(c, ns, kind, "goes", { "data-1": "value-1" });
  await put(c, ns, kind, "changes", { "data-1": "value-1" });
  const volumes = names.map((name) => volumeOf(name, kind, name, projected, { optional: true }));
  const volumeMounts = names.map((name) => mountAt(name, `/etc/${name}`));
  const files = ["/etc/goes/data-1", "/etc/changes/data-3", "/etc/comes/data-1"] as const;
  const pods = c.api.resource("v1", "pods", ns);
  await pods.create(scriptPod(REPEAT(files), { volumeMounts }, { volumes }));
  await untilPhase(c, ns, "main", "Running");
  await becomes(c, ns, files[0], "value-1");
  await becomes(c, ns, files[1], "none");
  await becomes(c, ns, files[2], "none");
  const objects = c.api.resource("v1", kind === "secret" ? "secrets" : "configmaps", ns);
  await objects.delete("goes");
  const value = kind === "secret" ? Buffer.from("value-3").toString("base64") : "value-3";
  await objects.patch("changes", { data: { "data-1": null, "data-3": value } });
  await put(c, ns, kind, "comes", { "data-1": "value-1" });
  await becomes(c, ns, files[2], "value-1");
  await becomes(c, ns, files[1], "value-3");
  await becomes(c, ns, files[0], "none");
  await pods.delete("main", { gracePeriodSeconds: 0 });
}

conformsShared("ConfigMap volume")("binaryData and text files", async (c) => {
  const ns = await c.namespace("volume");
  const bytes = Buffer.from([0xde, 0xca, 0xfe, 0xba, 0xd0, 0xfe, 0xff]);
  await c.api.resource("v1", "configmaps", ns).create({
    metadata: { name: "object" },
    data: { "data-1": "value-1" },
    binaryData: { "dump.bin": bytes.toString("base64") },
  });
  const volumes = [volumeOf("v", "configMap", "object", false)];
  const pod = scriptPod(
    "cat /etc/v/data-1; echo; hexdump -v -e '1/1 \"%02x\"' /etc/v/dump.bin",
    { volumeMounts: [mountAt("v", "/etc/v")] },
    { volumes },
  );
  expect(await runToEnd(c, ns, pod)).toBe("value-1\ndecafebad0feff");
});

conformsShared("Secret volume")("same-named secret in other namespace does not leak", async (c) => {
  const [ns, other] = [await c.namespace("volume"), await c.namespace("volume")];
  await put(c, ns, "secret", "object", { "data-1": "ours" });
  await put(c, other, "secret", "object", { "data-1": "theirs", "data-2": "theirs" });
  const pod = scriptPod(
    "cat /etc/v/data-1; ls /etc/v | wc -l",
    { volumeMounts: [mountAt("v", "/etc/v")] },
    { volumes: [volumeOf("v", "secret", "object", false)] },
  );
  expect((await runToEnd(c, ns, pod)).replaceAll(/\s+/g, " ")).toBe("ours1 ");
});

conformsShared("projected")("secret+configMap+downward in one volume", async (c) => {
  const ns = await c.namespace("volume");
  await put(c, ns, "configMap", "conf", { "configmap-data": "configmap-value-1" });
  await put(c, ns, "secret", "hidden", { "secret-data": "secret-value-1" });
  const sources = [
    { downwardAPI: { items: [{ path: "podname", fieldRef: { fieldPath: "metadata.name" } }] } },
    { secret: { name: "hidden", items: [{ key: "secret-data", path: "secret-data" }] } },
    { configMap: { name: "conf", items: [{ key: "configmap-data", path: "configmap-data" }] } },
  ];
  const script = "for f in podname secret-data configmap-data; do cat /all/$f; echo; done";
  const pod = scriptPod(
    script,
    { volumeMounts: [mountAt("all", "/all")] },
    { volumes: [{ name: "all", projected: { sources } }] },
  );
  expect(await runToEnd(c, ns, pod)).toBe("main\nsecret-value-1\nconfigmap-value-1\n");
});

/** A volume of facts about the pod. */
const downwardVolume = (projected: boolean, items: readonly Part[], more: Part = {}): Part =>
  projected
    ? { name: "info", projected: { sources: [{ downwardAPI: { items } }], ...more } }
    : { name: "info", downwardAPI: { items, ...more } };
const fromField = (path: string, fieldPath: string, more: Part = {}): Part => ({
  path,
  fieldRef: { fieldPath },
  ...more,
});
const fromResource = (path: string, resource: string): Part => ({
  path,
  resourceFieldRef: { containerName: "main", resource },
});
const RESOURCES = {
  resources: { requests: { cpu: "250m", memory: "32Mi" }, limits: { cpu: "1250m", memory: "64Mi" } },
};

for (const [area, projected] of [
  ["downward API volume", false],
  ["projected downwardAPI", true],
] as const) {
  const row = conformsShared(area);
  const shows = async (
    c: SharedCluster,
    item: Part,
    says: string,
    container: Part = {},
    more: Part = {},
  ): Promise<void> => {
    const ns = await c.namespace("downward");
    const pod = scriptPod(
      show("/etc/info/file"),
      { volumeMounts: [mountAt("info", "/etc/info")], ...container },
      { volumes: [downwardVolume(projected, [item], more)] },
    );
    expect(await runToEnd(c, ns, pod)).toBe(says);
  };
  for (const [behaviour, resource, says] of [
    ["cpu limit", "limits.cpu", "2"],
    ["memory limit", "limits.memory", "67108864"],
    ["memory request", "requests.memory", "33554432"],
  ] as const)
    row(behaviour, (c) => shows(c, fromResource("file", resource), `${says}\n-rw-r--r--\n`, RESOURCES));
  row("item mode", (c) => shows(c, fromField("file", "metadata.name", { mode: 0o400 }), "main\n-r--------\n"));
  if (!projected) row("pod name", (c) => shows(c, fromField("file", "metadata.name"), "main\n-rw-r--r--\n"));
  else
    row("defaultMode", (c) =>
      shows(c, fromField("file", "metadata.name"), "main\n-r--------\n", {}, { defaultMode: 0o400 }),
    );
  row("cpu limit defaults to allocatable", (c) => showsAllocatable(c, projected, "cpu"));
  if (projected) row("memory limit defaults to allocatable", (c) => showsAllocatable(c, projected, "memory"));
  row("annotation update reaches file", (c) => followsMetadata(c, projected, "annotations"), { timeoutMs: 200_000 });
  if (!projected)
    row("label update reaches file", (c) => followsMetadata(c, projected, "labels"), { timeoutMs: 200_000 });
}

async function showsAllocatable(c: SharedCluster, projected: boolean, of: "cpu" | "memory"): Promise<void> {
  const ns = await c.namespace("downward");
  const volumes = [downwardVolume(projected, [fromResource("file", `limits.${of}`)])];
  await c.api
    .resource("v1", "pods", ns)
    .create(scriptPod("cat /etc/info/file", { volumeMounts: [mountAt("info", "/etc/info")] }, { volumes }));
  const pod = await untilPhase(c, ns, "main", "Succeeded");
  const node = await c.api.resource("v1", "nodes").get(at<string>(pod, "spec.nodeName") ?? "");
  const amount = at<string>(node, `status.allocatable.${of}`) ?? "";
  const wanted = amount.endsWith("Ki")
    ? Number(amount.slice(0, -2)) * 1024
    : amount.endsWith("m")
      ? Math.ceil(Number(amount.slice(0, -1)) / 1000)
      : Number(amount);
  expect(await logOf(c, ns, "main")).toBe(String(wanted));
}

async function followsMetadata(c: SharedCluster, projected: boolean, what: "annotations" | "labels"): Promise<void> {
  const ns = await c.namespace("downward");
  const volumes = [downwardVolume(projected, [fromField("file", `metadata.${what}`)])];
  const pods = c.api.resource("v1", "pods", ns);
  const script = "while true; do cat /etc/info/file; echo; sleep 1; done";
  await pods.create(
    scriptPod(script, { volumeMounts: [mountAt("info", "/etc/info")] }, { volumes }, { [what]: { builder: "bar" } }),
  );
  await untilPhase(c, ns, "main", "Running");
  const says = (text: string): Promise<string> =>
    eventually(
      () => logOf(c, ns, "main"),
      (log) => log.includes(text),
      SYNCED_MS,
    );
  await says('builder="bar"\n');
  await pods.patch("main", { metadata: { [what]: { builder: "foo" } } });
  await says('builder="foo"\n');
  await pods.delete("main", { gracePeriodSeconds: 0 });
}

const emptyDir = conformsShared("emptyDir");
for (const who of ["root", "non-root"] as const) {
  for (const mode of who === "root" ? ["0666", "0777"] : ["0644", "0666"]) {
    for (const medium of ["disk", "tmpfs"] as const) {
      emptyDir(`${who} ${mode} ${medium}`, async (c) => {
        const ns = await c.namespace("emptydir");
        const script = `cd /v; echo mount-tester > file; chmod ${mode} file; cat file; ls -l file | cut -c1-10; grep ' /v ' /proc/mounts | grep -c tmpfs; id -u`;
        const volumes = [{ name: "v", emptyDir: medium === "tmpfs" ? { medium: "Memory" } : {} }];
        const user = who === "root" ? {} : { securityContext: { runAsUser: 1001 } };
        const container = { volumeMounts: [{ name: "v", mountPath: "/v" }], ...user };
        const letters = { "0644": "-rw-r--r--", "0666": "-rw-rw-rw-", "0777": "-rwxrwxrwx" }[mode];
        const log = await runToEnd(c, ns, scriptPod(script, container, { volumes }));
        const [text, seen, tmpfs, uid] = log.split("\n");
        expect([text, seen, uid]).toEqual(["mount-tester", letters, who === "root" ? "0" : "1001"]);
        if (medium === "tmpfs") expect(tmpfs).toBe("1");
      });
    }
  }
}

for (const medium of ["disk", "tmpfs"] as const) {
  emptyDir(`volume mode on ${medium}`, async (c) => {
    const ns = await c.namespace("emptydir");
    const volumes = [{ name: "v", emptyDir: medium === "tmpfs" ? { medium: "Memory" } : {} }];
    const container = { volumeMounts: [{ name: "v", mountPath: "/v" }] };
    // The kernel gives the root of a tmpfs the sticky bit besides.
    const mode = medium === "tmpfs" ? "drwxrwxrwt" : "drwxrwxrwx";
    expect(await runToEnd(c, ns, scriptPod("ls -ld /v | cut -c1-10", container, { volumes }))).toBe(`${mode}\n`);
  });
}

emptyDir("shared between containers", async (c) => {
  const ns = await c.namespace("emptydir");
  const volumeMounts = [{ name: "v", mountPath: "/v" }];
  const writer = {
    name: "writer",
    image: "coxswain.local/busybox:1",
    command: ["sh", "-c", "echo Hello from the busy-box sub-container > /v/data.txt; sleep 60"],
    volumeMounts,
  };
  const pod = scriptPod(
    "until cat /v/data.txt 2>/dev/null; do sleep 1; done; sleep 60",
    { volumeMounts },
    { volumes: [{ name: "v", emptyDir: {} }] },
  );
  const spec = pod["spec"] as { containers: Part[] };
  await c.api
    .resource("v1", "pods", ns)
    .create({ ...pod, spec: { ...spec, containers: [...spec.containers, writer] } });
  await eventually(
    () => logOf(c, ns, "main"),
    (log) => log === "Hello from the busy-box sub-container\n",
    60_000,
  );
  await c.api.resource("v1", "pods", ns).delete("main", { gracePeriodSeconds: 0 });
});

emptyDir("Secret and ConfigMap volumes together", async (c) => {
  const ns = await c.namespace("emptydir");
  await put(c, ns, "secret", "hidden", { "data-1": "value-1" });
  await put(c, ns, "configMap", "conf", { "data-1": "value-2" });
  const volumes = [volumeOf("secret", "secret", "hidden", false), volumeOf("conf", "configMap", "conf", false)];
  const volumeMounts = [mountAt("secret", "/etc/secret"), mountAt("conf", "/etc/conf")];
  const script = "cat /etc/secret/data-1 /etc/conf/data-1; grep -c ' /etc/secret tmpfs' /proc/mounts";
  expect(await runToEnd(c, ns, scriptPod(script, { volumeMounts }, { volumes }))).toBe("value-1value-21\n");
});

const SUB_PATHS: readonly (readonly [string, Part])[] = [
  ["configMap subPath", volumeOf("v", "configMap", "conf", false)],
  ["secret subPath", volumeOf("v", "secret", "hidden", false)],
  ["projected subPath", volumeOf("v", "configMap", "conf", true)],
  ["downwardAPI subPath", { name: "v", downwardAPI: { items: [fromField("downward/file", "metadata.name")] } }],
];
for (const [behaviour, volume] of SUB_PATHS) {
  conformsShared("subPath")(behaviour, async (c) => {
    const ns = await c.namespace("subpath");
    await put(c, ns, "configMap", "conf", { file: "from-config" });
    await put(c, ns, "secret", "hidden", { file: "from-secret" });
    const downward = behaviour.startsWith("downward");
    const subPath = downward ? "downward" : "file";
    const path = downward ? "/probe/file" : "/probe";
    const container = { volumeMounts: [{ name: "v", mountPath: "/probe", subPath }] };
    const log = await runToEnd(c, ns, scriptPod(`cat ${path}`, container, { volumes: [volume] }));
    expect(log).toBe(downward ? "main" : behaviour.startsWith("secret") ? "from-secret" : "from-config");
  });
}

// All on one node, which has to mount 250 volumes at once; upstream's is an RC too, three times in a row.
emptyDir(
  "50 ConfigMap volumes x 5 pods start without races",
  async (c) => {
    const ns = await c.namespace("race");
    const maps = Array.from({ length: 50 }, (_, n) => `racey-configmap-${n}`);
    const configMaps = c.api.resource("v1", "configmaps", ns);
    await Promise.all(
      maps.map((name, n) => configMaps.create({ metadata: { name }, data: { "data-1": `value-${n}` } })),
    );
    // Ready once every file is there, with what is its own.
    const check = maps.map((_, n) => `[ "$(cat /m/${n}/data-1)" = value-${n} ]`).join(" && ");
    const template = {
      metadata: { labels: { app: "race" } },
      spec: {
        terminationGracePeriodSeconds: 0,
        nodeSelector: { "kubernetes.io/hostname": "node-1" },
        volumes: maps.map((name) => ({ name, configMap: { name, items: [{ key: "data-1", path: "data-1" }] } })),
        containers: [
          {
            name: "main",
            image: BUSYBOX,
            command: ["sh", "-c", `${check} && touch /tmp/right; sleep 10000`],
            readinessProbe: { exec: { command: ["test", "-e", "/tmp/right"] }, periodSeconds: 1 },
            volumeMounts: maps.map((name, n) => ({ name, mountPath: `/m/${n}` })),
          },
        ],
      },
    };
    const controllers = c.api.resource("v1", "replicationcontrollers", ns);
    for (let round = 0; round < 3; round++) {
      const name = `race-${round}`;
      await controllers.create({ metadata: { name }, spec: { replicas: 5, selector: { app: "race" }, template } });
      const { items } = await eventually(
        () => c.api.resource("v1", "pods", ns).list(),
        (list) => list.items.length === 5 && list.items.every(isReady),
        90_000,
      );
      expect(items.map((pod) => at(pod, "status.containerStatuses.0.restartCount"))).toEqual([0, 0, 0, 0, 0]);
      await controllers.delete(name, { propagationPolicy: "Foreground" });
      await eventually(
        () => c.api.resource("v1", "pods", ns).list(),
        (list) => list.items.length === 0,
      );
    }
  },
  { timeoutMs: 300_000 },
);
