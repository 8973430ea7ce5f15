// Devices for claims on one node: which are chosen, what keeps a claim from getting any, and that the search misses nothing.
import type {
  Device,
  DeviceClaim,
  DeviceClass,
  DeviceRequest,
  DeviceResourceClaim,
  ResourceSlice,
} from "@coxswain/api";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { allocateDevices, type NodeAllocation } from "../src/devices/allocate-devices.ts";
import { AllocationError, claimRequests } from "../src/devices/claim-requests.ts";
import { DevicePools } from "../src/devices/device-pools.ts";
import { deviceClaim, deviceClass, DRIVER, exactly, slice } from "./device-fixtures.ts";
import { node } from "./fixtures.ts";

interface Scene {
  readonly slices: readonly ResourceSlice[];
  readonly claims: readonly DeviceResourceClaim[];
  readonly classes?: readonly DeviceClass[];
  readonly allocated?: readonly string[];
  readonly labels?: Record<string, string>;
}

const GPU = deviceClass("gpu");

function allocate({ slices, claims, classes = [GPU], allocated = [], labels = {} }: Scene): NodeAllocation {
  const pools = new DevicePools();
  for (const one of slices) pools.set(one.metadata?.name ?? "", one);
  const lookup = (name: string) => classes.find((one) => one.metadata?.name === name);
  const taken = new Set(allocated.map((name) => `${DRIVER}/${name}`));
  const requests = claims.map((claim) => claimRequests(claim, lookup));
  return allocateDevices(requests, pools.on(node("a", labels)), (id) => taken.has(id));
}

/** "request=device" of each claim, or why not. */
function given(scene: Scene): string {
  try {
    const outcome = allocate(scene);
    if (outcome.kind === "failed") return outcome.reason;
    const devices = outcome.results.map((result) =>
      (result.devices?.results ?? []).map((one) => `${one.request}=${one.device}`).join(" "),
    );
    return devices.join("; ");
  } catch (error) {
    if (error instanceof AllocationError) return `ERROR ${error.message}`;
    throw error;
  }
}

const of = (kind: string) => ({
  selectors: [{ cel: { expression: `device.attributes["${DRIVER}"].kind == "${kind}"` } }],
});
const device = (name: string, attributes: Record<string, string> = {}): Device => ({
  name,
  attributes: Object.fromEntries(Object.entries(attributes).map(([key, string]) => [key, { string }])),
});
const matching = (requests: DeviceRequest[], ...constraints: DeviceClaim["constraints"] & object) => ({
  requests,
  constraints,
});
const NONE = "cannot allocate all claims";

describe("a claim gets", () => {
  test.each<[string, Scene, string]>([
    ["a free device", { slices: [slice("s", ["d1", "d2"])], claims: [deviceClaim("c")], allocated: ["a/d1"] }, "r=d2"],
    [
      "none where all are taken",
      { slices: [slice("s", ["d1"])], claims: [deviceClaim("c")], allocated: ["a/d1"] },
      NONE,
    ],
    ["none where there are none", { slices: [], claims: [deviceClaim("c")] }, NONE],
    [
      "as many as it asks for",
      { slices: [slice("s", ["d1", "d2", "d3"])], claims: [deviceClaim("c", [exactly("r", { count: 2 })])] },
      "r=d1 r=d2",
    ],
    [
      "not the devices of another claim",
      { slices: [slice("s", ["d1", "d2"])], claims: [deviceClaim("c"), deviceClaim("e")] },
      "r=d1; r=d2",
    ],
    [
      "nothing, where two claims want one",
      { slices: [slice("s", ["d1"])], claims: [deviceClaim("c"), deviceClaim("e")] },
      NONE,
    ],
    [
      "what its selectors take, also by another choice for the first request",
      {
        slices: [slice("s", [device("d1", { kind: "x" }), device("d2", { kind: "y" })])],
        claims: [deviceClaim("c", [exactly("any"), exactly("x", of("x"))])],
      },
      "any=d2 x=d1",
    ],
    [
      "what its class takes",
      {
        slices: [slice("s", [device("d1", { kind: "x" }), device("d2", { kind: "y" })])],
        classes: [deviceClass("gpu", `device.attributes["${DRIVER}"].kind == "y"`)],
        claims: [deviceClaim("c")],
      },
      "r=d2",
    ],
    [
      "all that match",
      {
        slices: [slice("s", [device("d1", { kind: "x" }), device("d2", { kind: "y" }), device("d3", { kind: "x" })])],
        claims: [deviceClaim("c", [exactly("r", { allocationMode: "All", count: undefined, ...of("x") })])],
      },
      "r=d1 r=d3",
    ],
    [
      "not all where one is taken",
      {
        slices: [slice("s", ["d1", "d2"])],
        claims: [deviceClaim("c", [exactly("r", { allocationMode: "All" })])],
        allocated: ["a/d2"],
      },
      NONE,
    ],
    [
      "not all where there are none",
      { slices: [slice("s", [])], claims: [deviceClaim("c", [exactly("r", { allocationMode: "All" })])] },
      NONE,
    ],
    [
      "access to what others have, and leaves it to them",
      {
        slices: [slice("s", ["d1"])],
        claims: [deviceClaim("c", [exactly("r", { adminAccess: true })])],
        allocated: ["a/d1"],
      },
      "r=d1",
    ],
    [
      "devices that share an attribute",
      {
        slices: [
          slice("s", [
            device("d1", { numa: "0" }),
            device("d2", { numa: "1" }),
            device("d3", { numa: "1" }),
            device("d4"),
          ]),
        ],
        claims: [deviceClaim("c", matching([exactly("p"), exactly("q")], { matchAttribute: `${DRIVER}/numa` }))],
      },
      "p=d2 q=d3",
    ],
    [
      "devices of which only some requests share an attribute",
      {
        slices: [slice("s", [device("d1", { numa: "0" }), device("d2", { numa: "1" })])],
        claims: [
          deviceClaim(
            "c",
            matching([exactly("p"), exactly("q")], { requests: ["p"], matchAttribute: `${DRIVER}/numa` }),
          ),
        ],
      },
      "p=d1 q=d2",
    ],
    [
      "its first alternative",
      {
        slices: [slice("s", [device("d1", { kind: "x" }), device("d2", { kind: "y" })])],
        claims: [deviceClaim("c", [alternatives("r", ["best", "y"], ["good", "x"])])],
      },
      "r/best=d2",
    ],
    [
      "the next where that is taken",
      {
        slices: [slice("s", [device("d1", { kind: "x" }), device("d2", { kind: "y" })])],
        claims: [deviceClaim("c", [alternatives("r", ["best", "y"], ["good", "x"])])],
        allocated: ["a/d2"],
      },
      "r/good=d1",
    ],
    [
      "a worse alternative that lets another request have its only device",
      {
        slices: [slice("s", [device("d1", { kind: "x" }), device("d2", { kind: "y" })])],
        claims: [deviceClaim("c", [alternatives("r", ["best", "y"], ["good", "x"]), exactly("y", of("y"))])],
      },
      "r/good=d1 y=d2",
    ],
  ])("%s", (_, scene, expected) => expect(given(scene)).toBe(expected));
});

function alternatives(name: string, ...kinds: (readonly [string, string])[]): DeviceRequest {
  const firstAvailable = kinds.map(([own, kind]) => ({
    name: own,
    deviceClassName: "gpu",
    allocationMode: "ExactCount",
    count: 1,
    ...of(kind),
  }));
  return { name, firstAvailable };
}

describe("a pool is", () => {
  const claims = [deviceClaim("c")];
  const all = [deviceClaim("c", [exactly("r", { allocationMode: "All" })])];
  const half = (name: string, device: string, generation = 1, more: object = {}): ResourceSlice =>
    slice(name, [device], { pool: { resourceSliceCount: 2, generation }, ...more });
  test.each<[string, Scene, string]>([
    ["used once its slices are all there", { slices: [half("s", "d1"), half("t", "d2")], claims }, "r=d1"],
    ["not used before", { slices: [half("s", "d1")], claims }, NONE],
    [
      "an error to who wants all of it",
      { slices: [half("s", "d1")], claims: all },
      "ERROR claim default/c, request r: asks for all devices, but resource pool gpu.example/a is currently being updated",
    ],
    [
      "what its newest generation says",
      { slices: [slice("s", ["old"]), slice("t", ["new"], { pool: { generation: 2 } })], claims },
      "r=new",
    ],
    [
      "gone where the newest generation has nothing for the node",
      {
        slices: [
          half("s", "d1"),
          half("t", "d2", 2, { nodeName: "b", pool: { name: "a", resourceSliceCount: 2, generation: 2 } }),
        ],
        claims,
      },
      NONE,
    ],
    [
      "complete also with slices of other nodes",
      {
        slices: [half("s", "d1"), half("t", "d2", 1, { nodeName: "b", pool: { name: "a", resourceSliceCount: 2 } })],
        claims,
      },
      "r=d1",
    ],
    [
      "not used where a name stands for two",
      { slices: [half("s", "d"), half("t", "d")], claims },
      "invalid resource pools were encountered",
    ],
    [
      "no hindrance where another will do",
      {
        slices: [half("s", "d"), half("t", "d"), slice("u", ["d1"], { pool: { name: "other" } })],
        claims,
      },
      "r=d1",
    ],
    ["on all nodes where it says so", { slices: [slice("s", ["d1"], { allNodes: true })], claims }, "r=d1"],
    [
      "on the nodes that it selects",
      { slices: [slice("s", ["d1"], zoned("1"))], claims, labels: { zone: "1" } },
      "r=d1",
    ],
    ["and on no others", { slices: [slice("s", ["d1"], zoned("1"))], claims, labels: { zone: "2" } }, NONE],
  ])("%s", (_, scene, expected) => expect(given(scene)).toBe(expected));
});

function zoned(zone: string) {
  const term = { matchExpressions: [{ key: "zone", operator: "In", values: [zone] }] };
  return { nodeSelector: { nodeSelectorTerms: [term] } };
}

describe("an attempt ends", () => {
  const slices = [slice("s", [device("d1", { kind: "x" }), device("d2")])];
  test.each<[string, Scene, string]>([
    [
      "without the class",
      { slices, claims: [deviceClaim("c")], classes: [] },
      `ERROR claim default/c, request r: could not retrieve device class gpu: deviceclass.resource.k8s.io "gpu" not found`,
    ],
    [
      "with an expression that has no answer",
      { slices, claims: [deviceClaim("c", [exactly("r", of("y"))])] },
      "ERROR claim default/c: selector #0: CEL runtime error: no such key: kind",
    ],
    // What is not looked at cannot fail.
    ["not with one that nobody has to ask", { slices, claims: [deviceClaim("c", [exactly("r", of("x"))])] }, "r=d1"],
    [
      "with more devices than a claim can have",
      { slices, claims: [deviceClaim("c", [exactly("r", { count: 20 }), exactly("q", { count: 13 })])] },
      "ERROR claim default/c: number of requested devices 33 exceeds the claim limit of 32",
    ],
    [
      "where all devices cannot have one attribute",
      {
        slices: [slice("s", [device("d1", { numa: "0" }), device("d2", { numa: "1" })])],
        claims: [
          deviceClaim("c", matching([exactly("r", { allocationMode: "All" })], { matchAttribute: `${DRIVER}/numa` })),
        ],
      },
      "ERROR claim default/c, request r: cannot add device gpu.example/a/d2 because a claim constraint would not be satisfied",
    ],
  ])("%s", (_, scene, expected) => expect(given(scene)).toBe(expected));
});

test("what is written says how devices are set up and where they are", () => {
  const opaque = (value: number) => ({ opaque: { driver: DRIVER, parameters: { value } } });
  const claim = deviceClaim("c", {
    requests: [exactly("p"), alternatives("q", ["best", "x"], ["good", "y"])],
    config: [
      opaque(1),
      { requests: ["p"], ...opaque(2) },
      { requests: ["q/good"], ...opaque(3) },
      { requests: ["q"], ...opaque(4) },
    ],
  });
  const devices = [device("d1", { kind: "w" }), device("d2", { kind: "y" })];
  const outcome = allocate({
    slices: [slice("s", devices, zoned("1"))],
    classes: [deviceClass("gpu", undefined, [opaque(0)])],
    claims: [claim],
    labels: { zone: "1" },
  });
  expect(outcome).toEqual({
    kind: "allocated",
    results: [
      {
        devices: {
          results: [
            { request: "p", driver: DRIVER, pool: "a", device: "d1" },
            { request: "q/good", driver: DRIVER, pool: "a", device: "d2" },
          ],
          config: [
            { source: "FromClass", requests: ["p", "q/good"], ...opaque(0) },
            { source: "FromClaim", ...opaque(1) },
            { source: "FromClaim", requests: ["p"], ...opaque(2) },
            { source: "FromClaim", requests: ["q/good"], ...opaque(3) },
            { source: "FromClaim", requests: ["q"], ...opaque(4) },
          ],
        },
        ...zoned("1"),
      },
    ],
  });
});

test("a claim that cannot be satisfied is given up soon, though its devices could be combined in very many ways", () => {
  const devices = Array.from({ length: 31 }, (_, at) => device(`d${at}`, { kind: "x", numa: String(at % 2) }));
  const slices = [slice("s", devices)];
  const halves = [exactly("p", { count: 16 }), exactly("q", { count: 16, ...of("x") })];
  expect(given({ slices, claims: [deviceClaim("c", halves)] })).toBe(NONE);
  const same = matching([exactly("p", { count: 17 })], { matchAttribute: `${DRIVER}/numa` });
  expect(given({ slices, claims: [deviceClaim("c", same)] })).toBe(NONE);
});

interface Ask {
  readonly count: number;
  readonly kind: string | undefined;
  readonly all: boolean;
  readonly admin: boolean;
}
interface Drawn {
  readonly kind: string;
  readonly numa: string | undefined;
}
interface Wanted {
  readonly requests: readonly { readonly alternatives: readonly Ask[] }[];
  readonly match: boolean;
}

describe("for any claims and devices", () => {
  const kinds = fc.constantFrom("x", "y");
  const devices = fc.array(fc.record({ kind: kinds, numa: fc.constantFrom("0", "1", undefined) }), { maxLength: 5 });
  const ask = fc.record({
    count: fc.integer({ min: 1, max: 2 }),
    kind: fc.option(kinds, { nil: undefined }),
    all: fc.boolean(),
    admin: fc.nat({ max: 5 }).map((n) => n === 0),
  });
  const modeOf = ({ all, count, kind }: Ask) => ({
    ...(all ? { allocationMode: "All" } : { allocationMode: "ExactCount", count }),
    ...(kind === undefined ? {} : of(kind)),
  });
  const request = fc.oneof(
    ask.map((one) => ({ alternatives: [one] })),
    fc
      .array(ask, { minLength: 1, maxLength: 2 })
      .map((list) => ({ alternatives: list.map((one) => ({ ...one, admin: false })) })),
  );
  const claims = fc.array(
    fc.record({ requests: fc.array(request, { minLength: 1, maxLength: 2 }), match: fc.boolean() }),
    { minLength: 1, maxLength: 2 },
  );
  const scenes = fc.record({ devices, claims, taken: fc.array(fc.nat({ max: 4 }), { maxLength: 2 }) });

  function sceneOf({
    devices: list,
    claims: wanted,
    taken,
  }: {
    devices: readonly Drawn[];
    claims: readonly Wanted[];
    taken: readonly number[];
  }): Scene {
    const made = list.map(({ kind, numa }, at) => device(`d${at}`, { kind, ...(numa === undefined ? {} : { numa }) }));
    return {
      slices: [slice("s", made)],
      allocated: taken.map((at) => `a/d${at}`),
      claims: wanted.map(({ requests, match }, at) =>
        deviceClaim(`c${at}`, {
          requests: requests.map(({ alternatives: list_ }, place) =>
            list_.length === 1
              ? exactly(`r${place}`, {
                  count: undefined,
                  ...modeOf(list_[0]!),
                  ...(list_[0]!.admin ? { adminAccess: true } : {}),
                })
              : {
                  name: `r${place}`,
                  firstAvailable: list_.map((one, own) => ({
                    name: `a${own}`,
                    deviceClassName: "gpu",
                    ...modeOf(one),
                  })),
                },
          ),
          constraints: match ? [{ matchAttribute: `${DRIVER}/numa` }] : [],
        }),
      ),
    };
  }

  test("no device is given twice, and what is given is what was asked for", () => {
    fc.assert(
      fc.property(scenes, (drawn) => {
        const scene = sceneOf(drawn);
        let outcome: NodeAllocation;
        try {
          outcome = allocate(scene);
        } catch (error) {
          if (error instanceof AllocationError) return;
          throw error;
        }
        if (outcome.kind === "failed") return;
        const exclusive = outcome.results.flatMap((result) =>
          (result.devices?.results ?? []).filter((one) => one.adminAccess !== true).map((one) => one.device),
        );
        expect(new Set(exclusive).size).toBe(exclusive.length);
        for (const name of exclusive) expect(scene.allocated).not.toContain(`a/${name}`);
      }),
      { numRuns: 500 },
    );
  });

  test("where a plain search finds a way, so does this one", () => {
    let found = 0;
    fc.assert(
      fc.property(scenes, (drawn) => {
        const scene = sceneOf(drawn);
        const outcome = given(scene);
        // All devices that cannot have one attribute are an error, wherever else they might be.
        if (outcome.startsWith("ERROR")) return;
        const way = isPossible(drawn.devices, drawn.claims, new Set(drawn.taken));
        expect(outcome === NONE).toBe(!way);
        if (way) found++;
      }),
      { numRuns: 2_000 },
    );
    expect(found).toBeGreaterThan(100);
  });

  /** Tries every set of devices for every alternative of every request. */
  function isPossible(list: readonly Drawn[], wanted: readonly Wanted[], taken: ReadonlySet<number>): boolean {
    const steps = wanted.flatMap(({ requests, match }, claim) =>
      requests.map((one) => ({ claim, match, alternatives: one.alternatives })),
    );
    const go = (at: number, held: readonly { readonly claim: number; readonly device: number }[]): boolean => {
      const step = steps[at];
      if (step === undefined) return true;
      return step.alternatives.some((one) => {
        const fits = [...list.keys()].filter((index) => one.kind === undefined || list[index]!.kind === one.kind);
        const sets = one.all ? (fits.length === 0 ? [] : [fits]) : subsets(fits, one.count);
        return sets.some((set) => {
          const free = set.every((index) =>
            one.admin
              ? !held.some(({ claim, device: other }) => claim === step.claim && other === index)
              : !taken.has(index) && !held.some(({ device: other }) => other === index),
          );
          if (!free) return false;
          const now = [...held, ...set.map((index) => ({ claim: step.claim, device: index }))];
          const mine = now.filter(({ claim }) => claim === step.claim).map(({ device: index }) => list[index]!.numa);
          if (step.match && (mine.includes(undefined) || new Set(mine).size > 1)) return false;
          return go(at + 1, now);
        });
      });
    };
    return go(0, []);
  }

  function subsets(items: readonly number[], size: number): number[][] {
    if (size === 0) return [[]];
    return items.flatMap((item, at) => subsets(items.slice(at + 1), size - 1).map((rest) => [item, ...rest]));
  }
});
