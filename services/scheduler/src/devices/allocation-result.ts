// What is written into the status of a claim that was given devices: which, how they are to be set up, and on which nodes they are.
// Pure. https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
import type {
  AllocationResult,
  DeviceAllocationConfiguration,
  DeviceRequestAllocationResult,
  NodeSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
} from "@coxswain/api";
import { AllocationError, type ClaimRequests, type DeviceRequestPlan } from "./claim-requests.ts";
import type { DeviceEntry } from "./device-pools.ts";

export interface ChosenDevice {
  readonly request: DeviceRequestPlan;
  readonly entry: DeviceEntry;
}

/** `chosen`: the alternative of each request, in their order. */
export function allocationResult(
  requests: ClaimRequests,
  chosen: readonly DeviceRequestPlan[],
  devices: readonly ChosenDevice[],
): AllocationResult {
  const results = devices.map(({ request, entry }): DeviceRequestAllocationResult => ({
    request: request.name,
    driver: entry.driver,
    pool: entry.pool,
    device: entry.device.name,
    ...(request.adminAccess ? { adminAccess: true } : {}),
  }));
  const config = [...classConfigs(chosen), ...claimConfigs(requests, chosen)];
  const nodeSelector = selectorOf(devices);
  return {
    devices: { results, ...(config.length === 0 ? {} : { config }) },
    ...(nodeSelector === undefined ? {} : { nodeSelector }),
  };
}

/** Those of each class once, for all requests that name it. */
function classConfigs(chosen: readonly DeviceRequestPlan[]): DeviceAllocationConfiguration[] {
  const names = new Map<string, string[]>();
  for (const { deviceClass, name } of chosen) {
    const className = deviceClass.metadata?.name ?? "";
    names.set(className, [...(names.get(className) ?? []), name]);
  }
  return [...names].flatMap(([className, requests]) => {
    const { spec } = chosen.find(({ deviceClass }) => deviceClass.metadata?.name === className)!.deviceClass;
    return (spec?.config ?? []).map((config) => ({ source: "FromClass", requests, ...config }));
  });
}

/** Of the claim's own those that speak of all requests, and of one that was chosen. */
function claimConfigs({ claim }: ClaimRequests, chosen: readonly DeviceRequestPlan[]): DeviceAllocationConfiguration[] {
  return (claim.spec.devices?.config ?? []).flatMap((config): DeviceAllocationConfiguration[] => {
    const made = { source: "FromClaim", ...config };
    const names = config.requests ?? [];
    if (names.length === 0) return [made];
    const spoken = chosen.filter(({ name }) => names.includes(name) || names.includes(name.split("/", 1)[0]!));
    return spoken.map(() => made);
  });
}

/** Where all of the devices are; undefined: everywhere. */
function selectorOf(devices: readonly ChosenDevice[]): NodeSelector | undefined {
  const term: Required<NodeSelectorTerm> = { matchFields: [], matchExpressions: [] };
  for (const { entry } of devices) {
    const { nodeName, nodeSelector } = entry.slice.spec;
    if (nodeName) {
      return {
        nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: [nodeName] }] }],
      };
    }
    const terms = nodeSelector?.nodeSelectorTerms ?? [];
    if (terms.length > 1) {
      throw new AllocationError(`unsupported ResourceSlice.NodeSelector with ${terms.length} terms`);
    }
    addNew(terms[0]?.matchFields, term.matchFields);
    addNew(terms[0]?.matchExpressions, term.matchExpressions);
  }
  if (term.matchFields.length + term.matchExpressions.length === 0) return undefined;
  return {
    nodeSelectorTerms: [
      {
        ...(term.matchFields.length === 0 ? {} : { matchFields: term.matchFields }),
        ...(term.matchExpressions.length === 0 ? {} : { matchExpressions: term.matchExpressions }),
      },
    ],
  };
}

const textOf = ({ key, operator, values = [] }: NodeSelectorRequirement): string =>
  JSON.stringify([key, operator, [...new Set(values)].toSorted()]);

function addNew(from: readonly NodeSelectorRequirement[] | undefined, to: NodeSelectorRequirement[]): void {
  for (const one of from ?? []) if (!to.some((other) => textOf(other) === textOf(one))) to.push(one);
}
