// The status of a claim: what it was given, whom it is reserved for, and what drivers say of its devices.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  fieldTooLong,
  fieldTooMany,
  indexPath,
  validateDns1123Label,
} from "@coxswain/apimachinery";
import { validateNodeSelector } from "../core-v1/pod-spec/scheduling.ts";
import type {
  AllocationResult,
  DeviceResourceClaim,
  DeviceRequestAllocationResult,
  NetworkDeviceData,
  ResourceClaimStatus,
} from "../types.gen.ts";
import { validateEnum, validateRequiredWith } from "../validation/enums.ts";
import { looseIp } from "../validation/ip.ts";
import { validateImmutableField } from "../validation/immutable.ts";
import {
  requestNames,
  validateDriverName,
  validateOpaque,
  validatePoolName,
  validateRawObject,
  validateRequestNames,
} from "./devices.ts";

const MAX_RESERVED = 256;
const MAX_RESULTS = 32;
const MAX_CONFIGS = 64;
const MAX_CONDITIONS = 8;
const MAX_INTERFACE_NAME = 256;
const MAX_HARDWARE_ADDRESS = 128;
const MAX_IPS = 16;

interface Named {
  readonly driver?: string;
  readonly pool?: string;
  readonly device?: string;
  readonly shareID?: string;
}

const idOf = ({ driver = "", pool = "", device = "", shareID }: Named): string =>
  [driver, pool, device, ...(shareID === undefined ? [] : [shareID])].join("/");

/** Drops what drivers said of devices that the claim has no more. */
export function dropDeallocatedDevices(
  status: ResourceClaimStatus | undefined,
  old: ResourceClaimStatus | undefined,
): void {
  if (status?.devices === undefined) return;
  const gone = new Set((old?.allocation?.devices?.results ?? []).map(idOf));
  for (const result of status.allocation?.devices?.results ?? []) gone.delete(idOf(result));
  status.devices = status.devices.filter((device) => !gone.has(idOf(device)));
  if (status.devices.length === 0) delete status.devices;
}

function validateReservedFor(claim: DeviceResourceClaim, old: DeviceResourceClaim): FieldError[] {
  const reserved = claim.status?.reservedFor ?? [];
  const path = "status.reservedFor";
  if (reserved.length > MAX_RESERVED) return [fieldTooMany(path, reserved.length, MAX_RESERVED)];
  const uids = reserved.map((one) => one.uid);
  const errors = reserved.flatMap((one, index) => {
    const at = indexPath(path, index);
    const missing = (["resource", "name", "uid"] as const).filter((name) => !one[name]);
    return [
      ...missing.map((name) => fieldRequired(childPath(at, name), "")),
      ...(uids.indexOf(one.uid) < index ? [fieldDuplicate(at, one.uid)] : []),
    ];
  });
  if (reserved.length === 0) return errors;
  if (!claim.status?.allocation) {
    errors.push(fieldForbidden(path, "may not be specified when `allocated` is not set"));
  } else if (claim.metadata?.deletionTimestamp !== undefined) {
    const before = new Set(old.status?.reservedFor?.map((one) => one.uid));
    if (uids.some((uid) => !before.has(uid))) {
      errors.push(
        fieldForbidden(
          path,
          "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set",
        ),
      );
    }
  }
  return errors;
}

function validateResult(
  result: Partial<DeviceRequestAllocationResult>,
  path: string,
  names: ReadonlySet<string>,
): FieldError[] {
  return [
    ...validateRequestNames([result.request ?? ""], () => childPath(path, "request"), names),
    ...validateDriverName(result.driver, childPath(path, "driver")),
    ...validatePoolName(result.pool, childPath(path, "pool")),
    ...validateRequiredWith(validateDns1123Label, result.device, childPath(path, "device")),
  ];
}

/** Of a new allocation. */
function validateAllocation(allocation: AllocationResult, claim: DeviceResourceClaim): FieldError[] {
  const { results = [], config = [] } = allocation.devices ?? {};
  const names = requestNames(claim.spec?.devices);
  const path = "status.allocation.devices";
  const [resultsPath, configPath] = [childPath(path, "results"), childPath(path, "config")];
  const errors: FieldError[] = [];
  if (results.length > MAX_RESULTS) errors.push(fieldTooMany(resultsPath, results.length, MAX_RESULTS));
  else errors.push(...results.flatMap((one, index) => validateResult(one, indexPath(resultsPath, index), names)));
  if (config.length > MAX_CONFIGS) errors.push(fieldTooMany(configPath, config.length, MAX_CONFIGS));
  else {
    for (const [index, one] of config.entries()) {
      const at = indexPath(configPath, index);
      const place = (number: number): string => indexPath(childPath(at, "requests"), number);
      errors.push(
        ...validateEnum(one.source, ["FromClaim", "FromClass"], childPath(at, "source")),
        ...validateRequestNames(one.requests ?? [], place, names),
        ...validateOpaque(one.opaque, childPath(at, "opaque")),
      );
    }
  }
  if (allocation.nodeSelector) {
    errors.push(...validateNodeSelector(allocation.nodeSelector, "status.allocation.nodeSelector"));
  }
  return errors;
}

/** An address with the length of its network, as Go writes it. */
function validateInterfaceAddress(address: string, path: string): FieldError[] {
  const [text = "", length = "", ...rest] = address.split("/");
  const ip = looseIp(text);
  const bits = Number(length);
  const most = text.includes(":") ? 128 : 32;
  if (ip === undefined || rest.length > 0 || !/^\d+$/.test(length) || bits > most) {
    const detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)";
    return [fieldInvalid(path, address, detail)];
  }
  // An IPv4 address in IPv6's clothes counts its own bits.
  const canonical = `${ip.canonical}/${ip.family === "IPv4" && bits > 32 ? bits - 96 : bits}`;
  return canonical === address ? [] : [fieldInvalid(path, address, `must be in canonical form ("${canonical}")`)];
}

function validateNetwork({ interfaceName, hardwareAddress, ips = [] }: NetworkDeviceData, path: string): FieldError[] {
  const at = childPath(path, "ips");
  const tooLong = (name: string, value: string | undefined, most: number): FieldError[] =>
    (value?.length ?? 0) > most ? [fieldTooLong(childPath(path, name), most)] : [];
  return [
    ...tooLong("interfaceName", interfaceName, MAX_INTERFACE_NAME),
    ...tooLong("hardwareAddress", hardwareAddress, MAX_HARDWARE_ADDRESS),
    ...(ips.length > MAX_IPS ? [fieldTooMany(at, ips.length, MAX_IPS)] : []),
    ...ips
      .slice(0, MAX_IPS)
      .flatMap((ip, index) => [
        ...validateInterfaceAddress(ip, indexPath(at, index)),
        ...(ips.indexOf(ip) < index ? [fieldDuplicate(indexPath(at, index), ip)] : []),
      ]),
  ];
}

function validateDeviceStatuses({ allocation, devices = [] }: ResourceClaimStatus): FieldError[] {
  const allocated = new Set(allocation?.devices?.results?.map(idOf));
  const ids = devices.map(idOf);
  return devices.flatMap((device, index) => {
    const at = indexPath("status.devices", index);
    const id = ids[index]!;
    const conditions = device.conditions?.length ?? 0;
    return [
      ...(conditions > MAX_CONDITIONS ? [fieldTooMany(childPath(at, "conditions"), conditions, MAX_CONDITIONS)] : []),
      ...validateNetwork(device.networkData ?? {}, childPath(at, "networkData")),
      ...(device.data === undefined ? [] : validateRawObject(device.data, childPath(at, "data"))),
      ...(allocated.has(id) ? [] : [fieldInvalid(at, id, "must be an allocated device in the claim")]),
      ...(ids.indexOf(id) < index ? [fieldDuplicate(at, id)] : []),
    ];
  });
}

export function validateClaimStatus(claim: DeviceResourceClaim, old: DeviceResourceClaim): FieldError[] {
  const status = claim.status ?? {};
  const before = old.status?.allocation;
  const errors = [...validateReservedFor(claim, old), ...validateDeviceStatuses(status)];
  if (!status.allocation) return errors;
  return before
    ? [...errors, ...validateImmutableField(status.allocation, before, "status.allocation")]
    : [...errors, ...validateAllocation(status.allocation, claim)];
}
