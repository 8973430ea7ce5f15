// EndpointSlice: up to 1,000 endpoints of a Service, of one address family. Its generation counts changes of content
// and labels.
import { defineKind, metaOf, plainStrategy, setGeneration } from "../../define-kind.ts";
import { age, AGE, column, firstThree, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { EndpointSlice } from "../../types.gen.ts";
import { validateEndpointSlice, validateEndpointSliceUpdate } from "./validation.ts";
import { ipWarnings } from "../../validation/ip.ts";

function changed(slice: EndpointSlice, old: EndpointSlice): boolean {
  return (
    slice.addressType !== old.addressType ||
    !sameValue(slice.endpoints, old.endpoints) ||
    !sameValue(slice.ports, old.ports) ||
    !sameValue(slice.metadata?.labels, old.metadata?.labels)
  );
}

/** Controllers write addresses in the one way. */
const CONTROLLERS = new Set(["endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io"]);

function addressWarnings({ metadata, addressType, endpoints }: EndpointSlice): string[] {
  if (addressType === "FQDN" || CONTROLLERS.has(metadata?.labels?.["endpointslice.kubernetes.io/managed-by"] ?? "")) {
    return [];
  }
  return (endpoints ?? []).flatMap(({ addresses }, index) =>
    (addresses ?? []).flatMap((address, at) => ipWarnings(address, `endpoints[${index}].addresses[${at}]`)),
  );
}

export const endpointSliceKind = defineKind<EndpointSlice>({
  group: "discovery.k8s.io",
  version: "v1",
  kind: "EndpointSlice",
  resource: "endpointslices",
  namespaced: true,
  schemaName: "io.k8s.api.discovery.v1.EndpointSlice",
  defaults(slice) {
    for (const port of slice.ports ?? []) {
      port.name ??= "";
      port.protocol ??= "TCP";
    }
  },
  validateCreate: (slice) => validateEndpointSlice(slice),
  validateUpdate: validateEndpointSliceUpdate,
  strategy: plainStrategy({
    prepareForCreate(slice) {
      metaOf(slice).generation = 1;
    },
    prepareForUpdate: (slice, old) => setGeneration(slice, old, changed(slice, old)),
    warnings: (slice, old) => [
      ...(!old && slice.addressType === "FQDN" ? ["spec.addressType: FQDN endpoints are deprecated"] : []),
      ...addressWarnings(slice),
    ],
  }),
  columns: [
    NAME,
    column("AddressType", "The family of the addresses."),
    column("Ports", "The ports of the endpoints."),
    column("Endpoints", "The addresses of the endpoints."),
    AGE,
  ],
  row: (slice, context) => [
    nameOf(slice),
    slice.addressType,
    firstThree((slice.ports ?? []).map((port) => String(port.port ?? port.name ?? "*"))),
    firstThree((slice.endpoints ?? []).flatMap((endpoint) => endpoint.addresses ?? [])),
    age(slice, context),
  ],
});
