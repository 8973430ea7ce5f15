// What claims ask for, ready to be searched for: requests with their alternatives, classes, selectors and constraints. Pure.
import type { DeviceClass, DeviceResourceClaim, DeviceSelector, ExactDeviceRequest } from "@coxswain/api";
import { CelFailure, deviceExpression, selects } from "@coxswain/api/resource-v1/device-expressions";
import { objectKey } from "@coxswain/apimachinery";
import { type DeviceEntry } from "./device-pools.ts";

/** What is wrong with a claim, a class or a pool, wherever the pod would go: the attempt ends with it. */
export class AllocationError extends Error {
  override readonly name = "AllocationError";
}

interface Selector {
  readonly expression: string;
  /** Whose it is, as errors call it. */
  readonly whose: string;
}

/** One request, or one alternative of a request that has several. */
export interface DeviceRequestPlan {
  /** "request", or "request/alternative". */
  readonly name: string;
  /** As errors call it. */
  readonly where: string;
  readonly deviceClass: DeviceClass;
  readonly selectors: readonly Selector[];
  /** Undefined: all that match. */
  readonly count: number | undefined;
  readonly adminAccess: boolean;
}

export interface ConstraintPlan {
  readonly attribute: string;
  /** Empty: for all requests. */
  readonly requests: ReadonlySet<string>;
}

export interface ClaimRequests {
  readonly claim: DeviceResourceClaim;
  /** Of each request its alternatives, the best first; one where it has none. */
  readonly requests: readonly (readonly DeviceRequestPlan[])[];
  readonly constraints: readonly ConstraintPlan[];
}

export type ClassLookup = (name: string) => DeviceClass | undefined;

/** @throws AllocationError */
export function claimRequests(claim: DeviceResourceClaim, classes: ClassLookup): ClaimRequests {
  const key = objectKey(claim);
  const { requests = [], constraints = [] } = claim.spec.devices ?? {};
  const plan = (request: Partial<ExactDeviceRequest>, own: string, name: string): DeviceRequestPlan =>
    requestPlan(request, { key, own, name }, classes);
  return {
    claim,
    requests: requests.map(({ name, exactly, firstAvailable = [] }) =>
      exactly === undefined
        ? firstAvailable.map((each) => plan(each, each.name, `${name}/${each.name}`))
        : [plan(exactly, name, name)],
    ),
    constraints: constraints.map(({ matchAttribute, requests: names = [] }, at) => {
      if (matchAttribute !== undefined) return { attribute: matchAttribute, requests: new Set(names) };
      throw new AllocationError(`claim ${key}, constraint #${at}: empty constraint (unsupported constraint type?)`);
    }),
  };
}

function requestPlan(
  request: Partial<ExactDeviceRequest>,
  { key, own, name }: { readonly key: string; readonly own: string; readonly name: string },
  classes: ClassLookup,
): DeviceRequestPlan {
  const where = `claim ${key}, request ${own}`;
  const className = request.deviceClassName ?? "";
  if (className === "") throw new AllocationError(`${where}: missing device class name (unsupported request type?)`);
  const deviceClass = classes(className);
  if (deviceClass === undefined) {
    const missing = `deviceclass.resource.k8s.io ${JSON.stringify(className)} not found`;
    throw new AllocationError(`${where}: could not retrieve device class ${className}: ${missing}`);
  }
  const mode = request.allocationMode ?? "ExactCount";
  if (mode !== "ExactCount" && mode !== "All") {
    throw new AllocationError(`${where}: unsupported count mode ${mode}`);
  }
  return {
    name,
    where,
    deviceClass,
    selectors: [
      ...selectorsOf(deviceClass.spec?.selectors, `class ${className}`, where),
      ...selectorsOf(request.selectors, `claim ${key}`, where),
    ],
    count: mode === "All" ? undefined : (request.count ?? 1),
    adminAccess: request.adminAccess === true,
  };
}

function selectorsOf(selectors: readonly DeviceSelector[] | undefined, whose: string, where: string): Selector[] {
  return (selectors ?? []).map(({ cel }, at) => {
    if (cel !== undefined) return { expression: cel.expression, whose: `${whose}: selector #${at}` };
    throw new AllocationError(`${where}, selector #${at}: CEL expression empty (unsupported selector type?)`);
  });
}

/** Whether class and request take the device. @throws AllocationError where an expression has no answer. */
export function isSelectable({ selectors }: DeviceRequestPlan, entry: DeviceEntry): boolean {
  // Devices whose binding has conditions are for a feature that is off.
  if ((entry.device.bindingConditions ?? []).length > 0) return false;
  return selectors.every((selector) => entry.verdict(selector.expression, () => ask(selector, entry)));
}

function ask({ expression, whose }: Selector, entry: DeviceEntry): boolean {
  const compiled = deviceExpression(expression);
  if ("issue" in compiled) throw new AllocationError(`${whose}: CEL compile error: ${compiled.issue}`);
  try {
    return selects(compiled.program, entry.value);
  } catch (error) {
    if (!(error instanceof CelFailure)) throw error;
    throw new AllocationError(`${whose}: CEL runtime error: ${error.message}`, { cause: error });
  }
}
