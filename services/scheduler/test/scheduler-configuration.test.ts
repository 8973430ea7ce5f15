// KubeSchedulerConfiguration: what it says about plugins holds, and each mistake is told with its path.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { Node, Pod } from "@coxswain/api";
import { createSeededRandom } from "@coxswain/env";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadSchedulerOptions } from "../src/config/load-options.ts";
import { makeProfiles } from "../src/config/make-profiles.ts";
import { parseSchedulerConfiguration } from "../src/config/scheduler-configuration.ts";
import type { Plugin, Profile } from "../src/framework/contract.ts";
import { Framework } from "../src/framework/plan-schedule.ts";
import { checkProfiles, DEFAULT_PLUGINS } from "../src/framework/registry.ts";
import { makePodInfo } from "../src/pod-info.ts";
import { ClusterSnapshot } from "../src/snapshot/cluster-snapshot.ts";

const EXAMPLE = path.join(import.meta.dirname, "../examples/node-price.ts");
const HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
let folder: string;

beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "cox-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const profilesOf = (text: string): Profile[] => makeProfiles(parseSchedulerConfiguration(HEAD + text));
const pluginOf = (profile: Profile, name: string) => profile.plugins.find((one) => one.plugin.name === name);
const does = (profile: Profile, name: string, method: keyof Plugin): boolean =>
  pluginOf(profile, name)?.plugin[method] !== undefined;

function optionsOf(text: string, plugin: readonly string[] = []) {
  const config = path.join(folder, "scheduler.yaml");
  writeFileSync(config, HEAD + text);
  return loadSchedulerOptions({ config, plugin, percentageOfNodesToScore: 0 });
}

function nodeFor(profile: Profile, nodes: Node[], spec: Pod["spec"] = { containers: [] }): string {
  const snapshot = new ClusterSnapshot();
  for (const one of nodes) snapshot.upsertNode(one);
  const wanted = { metadata: { name: "p", namespace: "default", uid: "u" }, spec };
  const random = createSeededRandom(1);
  const plan = new Framework(profile).planSchedule(makePodInfo(wanted), snapshot, {
    random,
    percentageOfNodesToScore: 0,
  });
  return plan.kind === "node" ? plan.node : plan.message;
}

function node(name: string, labels: Record<string, string> = {}, used: Node["spec"] = {}): Node {
  return {
    metadata: { name, labels: { "kubernetes.io/hostname": name, ...labels } },
    spec: used,
    status: { allocatable: { cpu: "4", memory: "8Gi", pods: "10" } },
  };
}

describe("profiles", () => {
  test("a file that says nothing gives the default profile", () => {
    const [profile, ...others] = profilesOf("");
    expect(others).toEqual([]);
    expect(profile?.schedulerName).toBe("default-scheduler");
    expect(profile?.plugins.map(({ plugin, weight }) => [plugin.name, weight])).toEqual(
      DEFAULT_PLUGINS.map(({ plugin, weight }) => [plugin.name, weight]),
    );
  });

  test("several have plugins and weights of their own", () => {
    const profiles = profilesOf(`
profiles:
  - schedulerName: default-scheduler
    plugins:
      score:
        enabled: [{ name: TaintToleration, weight: 7 }]
        disabled: [{ name: ImageLocality }]
  - schedulerName: no-scoring
    percentageOfNodesToScore: 50
    plugins:
      preScore: { disabled: [{ name: "*" }] }
      score: { disabled: [{ name: "*" }] }
`);
    checkProfiles(profiles);
    const [first, second] = profiles as [Profile, Profile];
    expect(pluginOf(first, "TaintToleration")?.weight).toBe(7);
    expect(does(first, "ImageLocality", "score")).toBe(false);
    expect(second.percentageOfNodesToScore).toBe(50);
    expect(second.plugins.filter(({ plugin, weight }) => does(second, plugin.name, "score") || weight > 0)).toEqual([]);
    expect(does(second, "NodeAffinity", "filter")).toBe(true);
  });

  test("multiPoint takes a plugin out everywhere, and puts the named ones in", () => {
    const [profile] = profilesOf(`
profiles:
  - plugins:
      multiPoint:
        enabled: [{ name: PrioritySort }, { name: NodeResourcesFit, weight: 3 }, { name: DefaultBinder }]
        disabled: [{ name: "*" }]
      filter:
        enabled: [{ name: NodeName }]
`);
    expect(profile!.plugins.map(({ plugin, weight }) => [plugin.name, weight])).toEqual([
      ["PrioritySort", 0],
      ["NodeName", 0],
      ["NodeResourcesFit", 3],
    ]);
    expect(does(profile!, "NodeName", "preFilter")).toBe(false);
    expect(does(profile!, "NodeName", "filter")).toBe(true);
  });

  test("arguments reach the plugins", () => {
    const nodes = [node("a", { tier: "front" }), node("b")];
    const [profile] = profilesOf(`
profiles:
  - pluginConfig:
      - name: NodeAffinity
        args:
          apiVersion: kubescheduler.config.k8s.io/v1
          kind: NodeAffinityArgs
          addedAffinity:
            requiredDuringSchedulingIgnoredDuringExecution:
              nodeSelectorTerms: [{ matchExpressions: [{ key: tier, operator: In, values: [front] }] }]
      - name: NodeResourcesFit
        args: { scoringStrategy: { type: MostAllocated, resources: [{ name: cpu, weight: 2 }] } }
      - name: InterPodAffinity
        args: { hardPodAffinityWeight: 5 }
      - name: PodTopologySpread
        args:
          defaultingType: List
          defaultConstraints: [{ maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway }]
      - name: DefaultPreemption
        args: { minCandidateNodesPercentage: 20 }
      - name: NodeResourcesBalancedAllocation
        args: { resources: [{ name: cpu, weight: 1 }] }
`);
    expect(nodeFor(profile!, nodes)).toBe("a");
    expect(nodeFor(profile!, [node("b")])).toContain("node(s) didn't match scheduler-enforced node affinity");
  });

  test("how much is looked at, and the length of the backoff", async () => {
    const options = await optionsOf(
      "percentageOfNodesToScore: 30\npodInitialBackoffSeconds: 2\npodMaxBackoffSeconds: 20\n",
    );
    expect(options.percentageOfNodesToScore).toBe(30);
    expect(options.backoff).toEqual({ initialBackoffMs: 2_000, maxBackoffMs: 20_000 });
  });
});

describe("plugins of others", () => {
  const dear = node("dear", { "example.com/price": "9" });
  const cheap = node("cheap", { "example.com/price": "1" });
  const enabled = (args: string): string => `
profiles:
  - plugins: { multiPoint: { enabled: [{ name: NodePrice, weight: 100 }] } }
    pluginConfig: [{ name: NodePrice, args: ${args} }]
`;

  test("filter and score", async () => {
    const { profiles } = await optionsOf(enabled("{ limit: 5 }"), [EXAMPLE]);
    expect(pluginOf(profiles![0]!, "NodePrice")?.weight).toBe(100);
    expect(nodeFor(profiles![0]!, [dear, cheap, node("free")])).toBe("free");
    expect(nodeFor(profiles![0]!, [dear])).toContain("1 node(s) were too expensive");
  });

  test.each([
    ["arguments that it refuses", enabled("{ limit: -1 }"), [EXAMPLE], "profiles[0].pluginConfig[0]"],
    ["a name that nobody has", enabled("{}"), [], 'profiles[0].plugins: Not found: "NodePrice"'],
    ["a module that is not there", enabled("{}"), ["/nowhere/plugin.ts"], "--plugin /nowhere/plugin.ts: "],
    [
      "a module without plugins",
      enabled("{}"),
      [path.join(import.meta.dirname, "../src/index.ts")],
      'must export "plugins"',
    ],
    ["the same plugin twice", enabled("{}"), [EXAMPLE, EXAMPLE], "there is a plugin NodePrice already"],
  ])("%s", async (_, text, files, message) => {
    await expect(optionsOf(text, files)).rejects.toThrow(message);
  });
});

describe("mistakes", () => {
  test.each([
    ["kind: Pod", "no kind"],
    ["[", "scheduler configuration: "],
    [`${HEAD}parallelism: 0`, "parallelism: Invalid value: 0: should be an integer value greater than zero"],
    [
      `${HEAD}percentageOfNodesToScore: 101`,
      "percentageOfNodesToScore: Invalid value: 101: not in valid range [0-100]",
    ],
    [`${HEAD}podInitialBackoffSeconds: 0`, "podInitialBackoffSeconds: Invalid value: 0: must be greater than 0"],
    [
      `${HEAD}podInitialBackoffSeconds: 5\npodMaxBackoffSeconds: 4`,
      "podMaxBackoffSeconds: Invalid value: 4: must be greater than or equal to PodInitialBackoffSeconds",
    ],
    [`${HEAD}profile: []`, "profile: Forbidden: unknown field"],
    [`${HEAD}profiles: [{ schedulerName: "" }]`, "profiles[0].schedulerName: Required value"],
    [`${HEAD}profiles: [{}, {}]`, 'profiles[1].schedulerName: Duplicate value: "default-scheduler"'],
    [`${HEAD}profiles: [{ plugins: { filters: {} } }]`, "profiles[0].plugins.filters: Forbidden: unknown field"],
    [
      `${HEAD}profiles: [{ plugins: { filter: { enabled: [{ name: A }, { name: A }] } } }]`,
      'profiles[0].plugins.filter.enabled[1]: Duplicate value: "A"',
    ],
    [
      `${HEAD}profiles: [{ plugins: { filter: { enabled: [{}] } } }]`,
      "profiles[0].plugins.filter.enabled[0].name: Required value",
    ],
    [
      `${HEAD}profiles: [{ pluginConfig: [{ name: NodeName }, { name: NodeName }] }]`,
      'profiles[0].pluginConfig[1]: Invalid value: "NodeName": repeated plugin config',
    ],
    [`${HEAD}extenders: [{}]`, "extenders[0].urlPrefix: Required value"],
    [`${HEAD}extenders: [{ urlPrefix: "nowhere" }]`, 'extenders[0].urlPrefix: Invalid value: "nowhere": must be a URL'],
    [
      `${HEAD}extenders: [{ urlPrefix: "http://h", prioritizeVerb: p }]`,
      "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
    ],
    [
      `${HEAD}extenders: [{ urlPrefix: "http://h", bindVerb: b }, { urlPrefix: "http://i", bindVerb: b }]`,
      'extenders: Invalid value: "found 2 extenders implementing bind": only one extender can implement bind',
    ],
    [
      `${HEAD}extenders: [{ urlPrefix: "http://h", managedResources: [{ name: a/b }, { name: a/b }] }]`,
      'extenders[0].managedResources: Duplicate value: "a/b"',
    ],
    [
      `${HEAD}extenders: [{ urlPrefix: "http://h", httpTimeout: soon }]`,
      'extenders[0].httpTimeout: Invalid value: "soon": must be a duration',
    ],
    [`${HEAD}extenders: [{ urlPrefix: "http://h", verb: x }]`, "extenders[0].verb: Forbidden: unknown field"],
    [`${HEAD}leaderElection: { leaderElect: false }`, "leaderElection.leaderElect: Forbidden: must be true"],
    [`${HEAD}clientConnection: { kubeconfig: /x }`, "clientConnection: Forbidden: "],
    [`${HEAD}enableProfiling: true`, "enableProfiling: Forbidden: "],
  ])("%#: %s", (text, message) => {
    expect(() => parseSchedulerConfiguration(text)).toThrow(message);
  });

  const config = (name: string, args: string): string =>
    `profiles: [{ pluginConfig: [{ name: ${name}, args: ${args} }] }]`;
  const at = "profiles[0].pluginConfig[0].args";
  test.each([
    [config("NodeName", "{}"), `${at}: Forbidden: plugin NodeName takes no arguments`],
    [config("Nobody", "{}"), 'profiles[0].pluginConfig: Not found: "Nobody"'],
    [
      config("NodeResourcesFit", "{ ignoredResourceGroups: [a/b] }"),
      `${at}.ignoredResourceGroups[0]: Invalid value: "a/b"`,
    ],
    [config("NodeResourcesFit", "{ scoringStrategy: {} }"), `${at}.scoringStrategy.type: Required value`],
    [
      config("NodeResourcesFit", "{ scoringStrategy: { type: Most } }"),
      `${at}.scoringStrategy.type: Unsupported value: "Most": supported values: "LeastAllocated", "MostAllocated", "RequestedToCapacityRatio"`,
    ],
    [
      config(
        "NodeResourcesFit",
        "{ scoringStrategy: { type: LeastAllocated, resources: [{ name: gpu, weight: 101 }] } }",
      ),
      `${at}.scoringStrategy.resources[0].weight: Invalid value: 101: resource weight of gpu not in valid range [1, 100]`,
    ],
    [
      config("NodeResourcesFit", "{ scoringStrategy: { type: RequestedToCapacityRatio } }"),
      `${at}.scoringStrategy.requestedToCapacityRatio.shape: Required value`,
    ],
    [config("InterPodAffinity", "{ hardPodAffinityWeight: 101 }"), `${at}.hardPodAffinityWeight: Invalid value: 101`],
    [config("NodeAffinity", "{ addedAffinity: {} }"), `${at}.addedAffinity: Required value`],
    [
      config(
        "PodTopologySpread",
        "{ defaultConstraints: [{ maxSkew: 1, topologyKey: z, whenUnsatisfiable: ScheduleAnyway }] }",
      ),
      `${at}.defaultingType: Invalid value: "System": when .defaultConstraints are not empty`,
    ],
    [
      config("DefaultPreemption", "{ minCandidateNodesPercentage: 0, minCandidateNodesAbsolute: 0 }"),
      `${at}.minCandidateNodesPercentage, minCandidateNodesAbsolute: Invalid value: both are zero`,
    ],
    [
      "profiles: [{ plugins: { bind: { disabled: [{ name: DefaultBinder }] } } }]",
      "profiles[0].plugins.bind: Invalid value",
    ],
    [
      "profiles: [{ plugins: { queueSort: { disabled: [{ name: '*' }] } } }]",
      "profiles[0].plugins.queueSort: Invalid value",
    ],
  ])("%#: %s", (text, message) => {
    expect(() => profilesOf(text)).toThrow(message);
  });
});
