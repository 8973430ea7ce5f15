// What containers find in their environment and how they are started.
import { expect } from "vitest";
import { conformsShared } from "../conforms.ts";
import { at } from "../rest-client.ts";
import { BUSYBOX, logOf, runToEnd, scriptPod, untilPhase } from "./real-pods.ts";

const field = (name: string, fieldPath: string): object => ({ name, valueFrom: { fieldRef: { fieldPath } } });
const resource = (name: string, of: string): object => ({
  name,
  valueFrom: { resourceFieldRef: { resource: of } },
});

const configEnv = conformsShared("ConfigMap env");
configEnv("single key as env var", async (c) => {
  const ns = await c.namespace("config-env");
  await c.api.resource("v1", "configmaps", ns).create({ metadata: { name: "conf" }, data: { "data-1": "value-1" } });
  const env = [{ name: "CONFIG_DATA_1", valueFrom: { configMapKeyRef: { name: "conf", key: "data-1" } } }];
  expect(await runToEnd(c, ns, scriptPod("", { command: ["env"], env }))).toContain("CONFIG_DATA_1=value-1\n");
});

configEnv("whole ConfigMap as env", async (c) => {
  const ns = await c.namespace("config-env");
  const data = { data_1: "value-1", data_2: "value-2", data_3: "value-3" };
  await c.api.resource("v1", "configmaps", ns).create({ metadata: { name: "conf" }, data });
  const envFrom = [{ configMapRef: { name: "conf" } }, { prefix: "p-", configMapRef: { name: "conf" } }];
  const log = await runToEnd(c, ns, scriptPod("", { command: ["env"], envFrom }));
  for (const [key, value] of Object.entries(data)) {
    expect(log).toContain(`\n${key}=${value}\n`);
    expect(log).toContain(`p-${key}=${value}\n`);
  }
});

const secretEnv = conformsShared("Secret env");
for (const [behaviour, prefixes] of [
  ["whole Secret as env", ["", "p-"]],
  ["envFrom with odd prefixes", ["1-", "$_-", "p#-"]],
] as const) {
  secretEnv(behaviour, async (c) => {
    const ns = await c.namespace("secret-env");
    const stringData = { data_1: "value-1", data_2: "value-2" };
    await c.api.resource("v1", "secrets", ns).create({ metadata: { name: "hidden" }, stringData });
    const envFrom = prefixes.map((prefix) => ({ prefix, secretRef: { name: "hidden" } }));
    const log = `\n${await runToEnd(c, ns, scriptPod("", { command: ["env"], envFrom }))}`;
    for (const prefix of prefixes) {
      expect(log).toContain(`\n${prefix}data_1=value-1\n`);
      expect(log).toContain(`\n${prefix}data_2=value-2\n`);
    }
  });
}

const downward = conformsShared("downward API env");
downward("hostIP", async (c) => {
  const ns = await c.namespace("downward");
  await c.api.resource("v1", "pods", ns).create(scriptPod("env", { env: [field("HOST_IP", "status.hostIP")] }));
  const pod = await untilPhase(c, ns, "main", "Succeeded");
  expect(at(pod, "status.hostIP")).toMatch(/^\d+\.\d+\.\d+\.\d+$/);
  expect(await logOf(c, ns, "main")).toContain(`HOST_IP=${at<string>(pod, "status.hostIP")}\n`);
});

downward("pod UID", async (c) => {
  const ns = await c.namespace("downward");
  const made = await c.api
    .resource("v1", "pods", ns)
    .create(scriptPod("env", { env: [field("POD_UID", "metadata.uid")] }));
  await untilPhase(c, ns, "main", "Succeeded");
  expect(await logOf(c, ns, "main")).toContain(`POD_UID=${made.metadata.uid}\n`);
});

const SHARES = [
  resource("CPU_LIMIT", "limits.cpu"),
  resource("MEMORY_LIMIT", "limits.memory"),
  resource("CPU_REQUEST", "requests.cpu"),
  resource("MEMORY_REQUEST", "requests.memory"),
];

downward("limits and requests", async (c) => {
  const ns = await c.namespace("downward");
  const resources = { requests: { cpu: "250m", memory: "32Mi" }, limits: { cpu: "1250m", memory: "64Mi" } };
  const log = await runToEnd(c, ns, scriptPod("env", { env: SHARES, resources }));
  for (const line of ["CPU_LIMIT=2", "MEMORY_LIMIT=67108864", "CPU_REQUEST=1", "MEMORY_REQUEST=33554432"])
    expect(log).toContain(`${line}\n`);
});

downward("limits default to node allocatable", async (c) => {
  const ns = await c.namespace("downward");
  await c.api.resource("v1", "pods", ns).create(scriptPod("env", { env: SHARES.slice(0, 2) }));
  const pod = await untilPhase(c, ns, "main", "Succeeded");
  const node = await c.api.resource("v1", "nodes").get(at<string>(pod, "spec.nodeName") ?? "");
  const log = await logOf(c, ns, "main");
  const cpu = at<string>(node, "status.allocatable.cpu") ?? "";
  const cores = cpu.endsWith("m") ? Math.ceil(Number(cpu.slice(0, -1)) / 1000) : Number(cpu);
  expect(log).toContain(`CPU_LIMIT=${cores}\n`);
  const memory = at<string>(node, "status.allocatable.memory") ?? "";
  expect(memory).toMatch(/^\d+Ki$/);
  expect(log).toContain(`MEMORY_LIMIT=${Number(memory.slice(0, -2)) * 1024}\n`);
});

const expansion = conformsShared("variable expansion");
expansion("env composed from env", async (c) => {
  const ns = await c.namespace("expansion");
  const env = [
    { name: "FOO", value: "foo-value" },
    { name: "BAR", value: "bar-value" },
    { name: "FOOBAR", value: "$(FOO);;$(BAR)" },
  ];
  expect(await runToEnd(c, ns, scriptPod("", { command: ["env"], env }))).toContain("FOOBAR=foo-value;;bar-value\n");
});

expansion("in command", async (c) => {
  const ns = await c.namespace("expansion");
  const env = [{ name: "TEST_VAR", value: "test-value" }];
  const command = ["sh", "-c", 'TEST_VAR=wrong; echo "$(TEST_VAR)"'];
  expect(await runToEnd(c, ns, scriptPod("", { env, command }))).toBe("test-value\n");
});

const command = conformsShared("container command");
command("command and args override", async (c) => {
  const ns = await c.namespace("command");
  const container = { command: ["echo", "-n"], args: ["override", "arguments"] };
  expect(await runToEnd(c, ns, scriptPod("", container))).toBe("override arguments");
});

const kubelet = conformsShared("kubelet");
kubelet("stdout reaches logs", async (c) => {
  const ns = await c.namespace("kubelet");
  expect(await runToEnd(c, ns, scriptPod("echo Hello World; sleep 1"))).toBe("Hello World\n");
});

kubelet("terminated reason reported", async (c) => {
  const ns = await c.namespace("kubelet");
  await c.api.resource("v1", "pods", ns).create(scriptPod("", { command: ["/bin/false"], image: BUSYBOX }));
  const pod = await untilPhase(c, ns, "main", "Failed");
  expect(at(pod, "status.containerStatuses.0.state.terminated")).toMatchObject({ reason: "Error", exitCode: 1 });
});

kubelet("hostAliases in /etc/hosts", async (c) => {
  const ns = await c.namespace("kubelet");
  const hostAliases = [{ ip: "123.45.67.89", hostnames: ["foo", "bar"] }];
  expect(await runToEnd(c, ns, scriptPod("cat /etc/hosts", {}, { hostAliases }))).toMatch(
    /^123\.45\.67\.89\s+foo\s+bar$/m,
  );
});
