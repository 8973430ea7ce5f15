// What an EndpointSlice may hold: addresses of its one family, unique port names, and upstream's limits.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  fieldTooMany,
  indexPath,
  validateDns1123Label,
  validateDns1123Subdomain,
  validateLabelValue,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { sameValue } from "../../same-value.ts";
import type { DiscoveryEndpointPort, Endpoint, EndpointHints, EndpointSlice } from "../../types.gen.ts";
import { validateWith } from "../../validation/enums.ts";
import { validateImmutableField } from "../../validation/immutable.ts";
import { looseIp, validateEndpointIp, validateIp } from "../../validation/ip.ts";

const ADDRESS_TYPES = ["FQDN", "IPv4", "IPv6"];
const PROTOCOLS = ["SCTP", "TCP", "UDP"];
const MAX_ENDPOINTS = 1000;
const MAX_ADDRESSES = 100;
const MAX_PORTS = 20_000;
const MAX_HINTS = 8;

type Check = (text: string) => string[];
const each = (check: Check, text: string, at: string) => validateWith(check, text, at);

function validateAddress(address: string, type: string, path: string, index: number): FieldError[] {
  const at = indexPath(path, index);
  if (type === "FQDN") return each(validateDns1123Subdomain, address, at);
  if (type !== "IPv4" && type !== "IPv6") return [];
  const errors = validateIp(address, at);
  if (errors.length > 0) return errors;
  if (looseIp(address)?.family !== type) errors.push(fieldInvalid(path, address, `must be an ${type} address`));
  return [...errors, ...validateEndpointIp(address, at)];
}

function validateHintNames(names: readonly string[], path: string, check: Check): FieldError[] {
  if (names.length > MAX_HINTS) return [fieldTooMany(path, names.length, MAX_HINTS)];
  return names.flatMap((name, index) => {
    const at = childPath(indexPath(path, index), "name");
    const repeated = names.indexOf(name) < index ? [fieldDuplicate(at, name)] : [];
    return [...repeated, ...each(check, name, at)];
  });
}

function validateHints(hints: EndpointHints, path: string): FieldError[] {
  const names = (list: readonly { name: string }[] | undefined) => (list ?? []).map((item) => item.name);
  return [
    ...validateHintNames(names(hints.forZones), childPath(path, "forZones"), validateLabelValue),
    ...validateHintNames(names(hints.forNodes), childPath(path, "forNodes"), validateDns1123Subdomain),
  ];
}

function validateEndpoint(endpoint: Endpoint, type: string, path: string): FieldError[] {
  const at = childPath(path, "addresses");
  const addresses = endpoint.addresses ?? [];
  const errors: FieldError[] = [];
  if (addresses.length === 0) errors.push(fieldRequired(at, "must contain at least 1 address"));
  if (addresses.length > MAX_ADDRESSES) errors.push(fieldTooMany(at, addresses.length, MAX_ADDRESSES));
  errors.push(...addresses.flatMap((address, index) => validateAddress(address, type, at, index)));
  if (endpoint.nodeName !== undefined) {
    errors.push(...each(validateDns1123Subdomain, endpoint.nodeName, childPath(path, "nodeName")));
  }
  if (endpoint.hostname !== undefined) {
    errors.push(...each(validateDns1123Label, endpoint.hostname, childPath(path, "hostname")));
  }
  if (endpoint.hints) errors.push(...validateHints(endpoint.hints, childPath(path, "hints")));
  return errors;
}

function validatePort(port: DiscoveryEndpointPort, earlier: readonly string[], path: string): FieldError[] {
  const errors: FieldError[] = [];
  const name = port.name ?? "";
  if (name !== "") errors.push(...each(validateDns1123Label, name, childPath(path, "name")));
  if (earlier.includes(name)) errors.push(fieldDuplicate(childPath(path, "name"), name));
  if (!port.protocol) errors.push(fieldRequired(childPath(path, "protocol"), ""));
  else if (!PROTOCOLS.includes(port.protocol)) {
    errors.push(fieldNotSupported(childPath(path, "protocol"), port.protocol, PROTOCOLS));
  }
  if (port.appProtocol !== undefined) {
    errors.push(...each(validateQualifiedName, port.appProtocol, childPath(path, "appProtocol")));
  }
  return errors;
}

function validateAllPorts(ports: readonly DiscoveryEndpointPort[]): FieldError[] {
  if (ports.length > MAX_PORTS) return [fieldTooMany("ports", ports.length, MAX_PORTS)];
  const names = ports.map((port) => port.name ?? "");
  return ports.flatMap((port, index) => validatePort(port, names.slice(0, index), indexPath("ports", index)));
}

function validateEndpoints(slice: EndpointSlice): FieldError[] {
  const endpoints = slice.endpoints ?? [];
  if (endpoints.length > MAX_ENDPOINTS) return [fieldTooMany("endpoints", endpoints.length, MAX_ENDPOINTS)];
  return endpoints.flatMap((endpoint, index) =>
    validateEndpoint(endpoint, slice.addressType, indexPath("endpoints", index)),
  );
}

export function validateEndpointSlice(slice: EndpointSlice, old?: EndpointSlice): FieldError[] {
  const errors: FieldError[] = [];
  if (!slice.addressType) errors.push(fieldRequired("addressType", ""));
  else if (!ADDRESS_TYPES.includes(slice.addressType)) {
    errors.push(fieldNotSupported("addressType", slice.addressType, ADDRESS_TYPES));
  }
  errors.push(...validateAllPorts(slice.ports ?? []));
  // Unchanged endpoints stay acceptable, so that slices written under older rules can still be updated.
  if (!old || !sameValue(slice.endpoints, old.endpoints)) errors.push(...validateEndpoints(slice));
  return errors;
}

export function validateEndpointSliceUpdate(slice: EndpointSlice, old: EndpointSlice): FieldError[] {
  return [
    ...validateEndpointSlice(slice, old),
    ...validateImmutableField(slice.addressType, old.addressType, "addressType"),
  ];
}
