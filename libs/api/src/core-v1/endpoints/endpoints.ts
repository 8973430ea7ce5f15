// Endpoints: the addresses behind a Service in the form that EndpointSlices replaced.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldInvalid,
  fieldRequired,
  indexPath,
  validateDns1123Label,
  validateDns1123Subdomain,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { defineKind, plainStrategy } from "../../define-kind.ts";
import { age, AGE, column, NAME, nameOf } from "../../printing.ts";
import type { EndpointAddress, EndpointPort, Endpoints, EndpointSubset } from "../../types.gen.ts";
import { validateEnum, validateWith } from "../../validation/enums.ts";
import { ipWarnings, validateEndpointIp, validateIp } from "../../validation/ip.ts";
import { validatePort } from "../../validation/numbers.ts";

function validateAddress(address: EndpointAddress, path: string): FieldError[] {
  const at = childPath(path, "ip");
  const unknown = validateIp(address.ip ?? "", at);
  // Upstream says of what is no address both that and why.
  const errors =
    unknown.length === 0
      ? validateEndpointIp(address.ip, at)
      : [...unknown, fieldInvalid(at, address.ip ?? "", "must be a valid IP address")];
  if (address.hostname)
    errors.push(...validateWith(validateDns1123Label, address.hostname, childPath(path, "hostname")));
  if (address.nodeName !== undefined) {
    errors.push(...validateWith(validateDns1123Subdomain, address.nodeName, childPath(path, "nodeName")));
  }
  return errors;
}

function validateEndpointPort(port: EndpointPort, several: boolean, path: string): FieldError[] {
  const name = port.name ?? "";
  const at = childPath(path, "name");
  return [
    ...(several && name === ""
      ? [fieldRequired(at, "")]
      : name === ""
        ? []
        : validateWith(validateDns1123Label, name, at)),
    ...validatePort(port.port, childPath(path, "port")),
    ...validateEnum(port.protocol, ["SCTP", "TCP", "UDP"], childPath(path, "protocol")),
    ...(port.appProtocol === undefined
      ? []
      : validateWith(validateQualifiedName, port.appProtocol, childPath(path, "appProtocol"))),
  ];
}

function validateSubset(subset: EndpointSubset, path: string): FieldError[] {
  const { addresses = [], notReadyAddresses = [], ports = [] } = subset;
  const errors: FieldError[] = [];
  if (addresses.length + notReadyAddresses.length === 0) {
    errors.push(fieldRequired(path, "must specify `addresses` or `notReadyAddresses`"));
  }
  addresses.forEach((each, index) =>
    errors.push(...validateAddress(each, indexPath(childPath(path, "addresses"), index))),
  );
  notReadyAddresses.forEach((each, index) =>
    errors.push(...validateAddress(each, indexPath(childPath(path, "notReadyAddresses"), index))),
  );
  ports.forEach((port, index) =>
    errors.push(...validateEndpointPort(port, ports.length > 1, indexPath(childPath(path, "ports"), index))),
  );
  return errors;
}

function validate(endpoints: Endpoints, old?: Endpoints): FieldError[] {
  const errors = (endpoints.subsets ?? []).flatMap((subset, index) =>
    validateSubset(subset, indexPath("subsets", index)),
  );
  const zone = endpoints.metadata?.annotations?.["endpoints.kubernetes.io/last-change-trigger-time"];
  if (zone !== undefined && Number.isNaN(Date.parse(zone)) && old === undefined) {
    errors.push(fieldInvalid("metadata.annotations", zone, "must be a valid RFC3339 time"));
  }
  return errors;
}

function addressesOf({ subsets = [] }: Endpoints): string {
  if (subsets.length === 0) return "<none>";
  const all = subsets.flatMap(({ addresses = [], ports = [] }) => {
    const bracketed = (ip = "") => (ip.includes(":") ? `[${ip}]` : ip);
    if (ports.length === 0) return addresses.map(({ ip }) => ip);
    return ports.flatMap(({ port }) => addresses.map(({ ip }) => `${bracketed(ip)}:${port}`));
  });
  const shown = all.slice(0, 3).join(",");
  return all.length > 3 ? `${shown} + ${all.length - 3} more...` : shown;
}

/** The controller writes addresses in the one way. */
function addressWarnings({ metadata, subsets = [] }: Endpoints): string[] {
  if (metadata?.labels?.["endpoints.kubernetes.io/managed-by"] === "endpoint-controller") return [];
  return subsets.flatMap((subset, index) =>
    (["addresses", "notReadyAddresses"] as const).flatMap((list) =>
      (subset[list] ?? []).flatMap(({ ip }, at) => ipWarnings(ip, `subsets[${index}].${list}[${at}].ip`)),
    ),
  );
}

export const endpointsKind = defineKind<Endpoints>({
  group: "",
  version: "v1",
  kind: "Endpoints",
  listKind: "EndpointsList",
  resource: "endpoints",
  shortNames: ["ep"],
  namespaced: true,
  schemaName: "io.k8s.api.core.v1.Endpoints",
  defaults(endpoints) {
    for (const subset of endpoints.subsets ?? []) for (const port of subset.ports ?? []) port.protocol ||= "TCP";
  },
  validateCreate: (endpoints) => validate(endpoints),
  validateUpdate: validate,
  strategy: plainStrategy({ allowCreateOnUpdate: true, warnings: addressWarnings }),
  deprecation: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
  columns: [NAME, column("Endpoints", "The addresses and ports."), AGE],
  row: (endpoints, context) => [nameOf(endpoints), addressesOf(endpoints), age(endpoints, context)],
});
