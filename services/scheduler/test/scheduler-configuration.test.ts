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
import type { ExtensionPoint, Plugin, Profile } from "../src/framework/contract.ts";
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

describe("the order at an extension point", () => {
  const filters = "NodeUnschedulable NodeName TaintToleration NodeAffinity NodePorts NodeResourcesFit".split(" ");
  const others =
    "VolumeRestrictions NodeVolumeLimits VolumeBinding VolumeZone PodTopologySpread InterPodAffinity".split(" ");
  const without = (...names: string[]): string[] => [...filters, ...others].filter((name) => !names.includes(name));

  test.each<[string, string, ExtensionPoint, string[]]>([
    ["the default's", "{}", "filter", [...filters, ...others]],
    [
      "who is named again comes first, as the point orders them",
      "{ filter: { enabled: [{ name: VolumeZone }, { name: NodeName }] } }",
      "filter",
      ["VolumeZone", "NodeName", ...without("VolumeZone", "NodeName")],
    ],
    [
      "who is disabled and named comes last",
      "{ filter: { enabled: [{ name: NodeName }], disabled: [{ name: NodeName }, { name: NodePorts }] } }",
      "filter",
      [...without("NodeName", "NodePorts"), "NodeName"],
    ],
    [
      "where all are disabled only the point's own list is left",
      "{ filter: { enabled: [{ name: VolumeZone }, { name: NodeName }], disabled: [{ name: '*' }] } }",
      "filter",
      ["VolumeZone", "NodeName"],
    ],
    [
      "multiPoint keeps the place of a default plugin that it names again",
      "{ multiPoint: { enabled: [{ name: VolumeZone }] } }",
      "filter",
      [...filters, ...others],
    ],
    [
      "multiPoint puts at the end what it disables and names",
      "{ multiPoint: { enabled: [{ name: NodeName }], disabled: [{ name: NodeName }] } }",
      "filter",
      [...without("NodeName"), "NodeName"],
    ],
    [
      "multiPoint's own list in place of the default's",
      "{ multiPoint: { enabled: [{ name: VolumeZone }, { name: NodeName }, { name: PrioritySort }, { name: DefaultBinder }], disabled: [{ name: '*' }] } }",
      "filter",
      ["VolumeZone", "NodeName"],
    ],
    [
      "the point's list wins over a plugin that multiPoint disables",
      "{ multiPoint: { disabled: [{ name: NodeName }] }, filter: { enabled: [{ name: NodeName }] } }",
      "filter",
      [...without("NodeName"), "NodeName"],
    ],
    [
      "one point's order leaves the others'",
      "{ filter: { enabled: [{ name: InterPodAffinity }] } }",
      "score",
      "TaintToleration NodeAffinity NodeResourcesFit PodTopologySpread InterPodAffinity NodeResourcesBalancedAllocation ImageLocality".split(
        " ",
      ),
    ],
  ])("%s", (_, plugins, point, names) => {
    const [profile] = profilesOf(`profiles: [{ plugins: ${plugins} }]`);
    checkProfiles([profile!]);
    // It is at nearly every point: the table leaves it out.
    const order = new Framework(profile!).at(point).map(({ name }) => name);
    expect(order.filter((name) => name !== "DynamicResources")).toEqual(names);
  });

  test("the first plugin that rejects a node is the one that is named", () => {
    const cordoned = node("a", {}, { unschedulable: true, taints: [{ key: "gone", effect: "NoSchedule" }] });
    const first = (plugins: string): string =>
      nodeFor(profilesOf(`profiles: [{ plugins: ${plugins} }]`)[0]!, [cordoned]);
    expect(first("{}")).toContain("were unschedulable");
    expect(first("{ filter: { enabled: [{ name: TaintToleration }] } }")).toContain("untolerated taint");
  });

  test.each<[string, string, number | undefined]>([
    [
      "the point's weight before multiPoint's",
      "{ score: { enabled: [{ name: NodeAffinity, weight: 4 }] }, multiPoint: { enabled: [{ name: NodeAffinity, weight: 9 }] } }",
      4,
    ],
    ["multiPoint's weight", "{ multiPoint: { enabled: [{ name: NodeAffinity, weight: 9 }] } }", 9],
    ["1 where the point names it without one", "{ score: { enabled: [{ name: NodeAffinity }] } }", 1],
    ["1 where multiPoint names it without one", "{ multiPoint: { enabled: [{ name: NodeAffinity }] } }", 1],
    [
      "the default's where only another point names it",
      "{ filter: { enabled: [{ name: NodeAffinity, weight: 8 }] } }",
      2,
    ],
    ["none where it does not score", "{ score: { disabled: [{ name: NodeAffinity }] } }", undefined],
  ])("weight: %s", (_, plugins, weight) => {
    const { scoring } = new Framework(profilesOf(`profiles: [{ plugins: ${plugins} }]`)[0]!);
    expect(scoring.find(({ plugin }) => plugin.name === "NodeAffinity")?.weight).toBe(weight);
  });

  const binder: Plugin = { name: "Own", bind: () => Promise.resolve("bound") };
  test.each<[string, string, string[], boolean]>([
    ["none but the scheduler's own", "{}", [], true],
    ["nobody is asked after it", "{ multiPoint: { enabled: [{ name: Own }] } }", [], true],
    [
      "who only the point names comes after it",
      "{ bind: { enabled: [{ name: Own }, { name: DefaultBinder }] } }",
      [],
      true,
    ],
    [
      "before it",
      "{ bind: { enabled: [{ name: Own }, { name: DefaultBinder }], disabled: [{ name: DefaultBinder }] } }",
      ["Own"],
      true,
    ],
    ["in its place", "{ bind: { enabled: [{ name: Own }], disabled: [{ name: DefaultBinder }] } }", ["Own"], false],
    [
      "before it, as multiPoint says",
      "{ multiPoint: { enabled: [{ name: Own }, { name: DefaultBinder }], disabled: [{ name: DefaultBinder }] } }",
      ["Own"],
      true,
    ],
  ])("bind: %s", (_, plugins, names, itself) => {
    const text = `${HEAD}profiles: [{ plugins: ${plugins} }]`;
    const [profile] = makeProfiles(parseSchedulerConfiguration(text), new Map([["Own", () => binder]]));
    const framework = new Framework(profile!);
    expect(framework.at("bind").map(({ name }) => name)).toEqual(names);
    expect(framework.bindsItself).toBe(itself);
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
    ["a name that nobody has", enabled("{}"), [], 'profiles[0].plugins.multiPoint.enabled[0]: Not found: "NodePrice"'],
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
    [config("VolumeBinding", "{ bindTimeoutSeconds: -1 }"), `${at}.bindTimeoutSeconds: Invalid value: -1`],
    [config("VolumeBinding", "{ shape: [] }"), `${at}.shape: Invalid value`],
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
      "profiles: [{ plugins: { score: { enabled: [{ name: NodeAffinity }, { name: NodeName }] } } }]",
      'profiles[0].plugins.score.enabled[1]: Invalid value: "NodeName": plugin does not extend score',
    ],
    [
      "profiles: [{ plugins: { filter: { enabled: [{ name: DefaultBinder }] } } }]",
      "profiles[0].plugins.filter.enabled[0]: Invalid value",
    ],
    [
      "profiles: [{ plugins: { permit: { enabled: [{ name: Nobody }] } } }]",
      'profiles[0].plugins.permit.enabled[0]: Not found: "Nobody"',
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
