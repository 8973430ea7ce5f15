// NetworkPolicy: which traffic pods take and send.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldInvalid,
  fieldNotSupported,
  fieldRequired,
  indexPath,
  validateLabelSelector,
} from "@coxswain/apimachinery";
import ipaddr from "ipaddr.js";
import { defineKind, metaOf, plainStrategy, setGeneration } from "../../define-kind.ts";
import { age, AGE, column, formatSelector, NAME, nameOf } from "../../printing.ts";
import { sameValue } from "../../same-value.ts";
import type { IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort } from "../../types.gen.ts";
import { cidrWarnings, looseCidr, validateCidr } from "../../validation/ip.ts";
import { validatePortNumberOrName } from "../../validation/numbers.ts";

const PROTOCOLS = ["TCP", "UDP", "SCTP"];
const TYPES = ["Ingress", "Egress"];

function validatePolicyPort(port: NetworkPolicyPort, path: string): FieldError[] {
  const errors: FieldError[] = [];
  if (port.protocol !== undefined && !PROTOCOLS.includes(port.protocol)) {
    errors.push(fieldNotSupported(childPath(path, "protocol"), port.protocol, PROTOCOLS));
  }
  const end = port.endPort;
  const at = childPath(path, "endPort");
  if (port.port === undefined) {
    if (end !== undefined) errors.push(fieldInvalid(at, end, "may not be specified when `port` is not specified"));
    return errors;
  }
  errors.push(...validatePortNumberOrName(port.port, childPath(path, "port")));
  if (end === undefined) return errors;
  if (typeof port.port === "string")
    errors.push(fieldInvalid(at, end, "may not be specified when `port` is non-numeric"));
  else {
    // Upstream shows the port, which is too high, in place of the end, which is too low.
    if (end < port.port) errors.push(fieldInvalid(at, port.port, "must be greater than or equal to `port`"));
    errors.push(...validatePortNumberOrName(end, at));
  }
  return errors;
}

function strictlyWithin(inner: string, outer: string): boolean {
  const [within, around] = [looseCidr(inner), looseCidr(outer)];
  if (within === undefined || around === undefined || within.family !== around.family) return false;
  const [address, bits] = ipaddr.parseCIDR(within.canonical);
  const [network, length] = ipaddr.parseCIDR(around.canonical);
  return bits > length && address.match(network, length);
}

function validateBlock(block: IPBlock, path: string): FieldError[] {
  const at = childPath(path, "cidr");
  if (!block.cidr) return [fieldRequired(at, "")];
  const errors = validateCidr(block.cidr, at);
  if (errors.length > 0) return errors;
  return (block.except ?? []).flatMap((except, index) => {
    const place = indexPath(childPath(path, "except"), index);
    const wrong = validateCidr(except, place);
    if (wrong.length > 0 || strictlyWithin(except, block.cidr)) return wrong;
    return [fieldInvalid(place, except, `must be a strict subset of \`cidr\``)];
  });
}

function validatePeer(peer: NetworkPolicyPeer, path: string): FieldError[] {
  const errors: FieldError[] = [];
  const { podSelector, namespaceSelector, ipBlock } = peer;
  if (podSelector) errors.push(...validateLabelSelector(podSelector, childPath(path, "podSelector")));
  if (namespaceSelector) errors.push(...validateLabelSelector(namespaceSelector, childPath(path, "namespaceSelector")));
  if (ipBlock) errors.push(...validateBlock(ipBlock, childPath(path, "ipBlock")));
  if (!podSelector && !namespaceSelector && !ipBlock) errors.push(fieldRequired(path, "must specify a peer"));
  if (ipBlock && (podSelector || namespaceSelector)) {
    errors.push(fieldForbidden(path, "may not specify both ipBlock and another peer"));
  }
  return errors;
}

function validateRules(
  rules: readonly { ports?: NetworkPolicyPort[]; peers: NetworkPolicyPeer[] }[],
  path: string,
  peersName: string,
): FieldError[] {
  return rules.flatMap((rule, index) => {
    const at = indexPath(path, index);
    return [
      ...(rule.ports ?? []).flatMap((port, place) =>
        validatePolicyPort(port, indexPath(childPath(at, "ports"), place)),
      ),
      ...rule.peers.flatMap((peer, place) => validatePeer(peer, indexPath(childPath(at, peersName), place))),
    ];
  });
}

function validate({ spec }: NetworkPolicy): FieldError[] {
  const types = spec?.policyTypes ?? [];
  const errors = validateLabelSelector(spec?.podSelector ?? {}, "spec.podSelector");
  const ingress = (spec?.ingress ?? []).map((rule) => ({ ports: rule.ports ?? [], peers: rule.from ?? [] }));
  const egress = (spec?.egress ?? []).map((rule) => ({ ports: rule.ports ?? [], peers: rule.to ?? [] }));
  errors.push(...validateRules(ingress, "spec.ingress", "from"), ...validateRules(egress, "spec.egress", "to"));
  if (types.length > TYPES.length) {
    return [...errors, fieldInvalid("spec.policyTypes", types, "may not specify more than two policyTypes")];
  }
  const unknown = types.flatMap((type, index) =>
    TYPES.includes(type) ? [] : [fieldNotSupported(indexPath("spec.policyTypes", index), type, TYPES)],
  );
  return [...errors, ...unknown];
}

function blockWarnings({ spec = {} }: NetworkPolicy): string[] {
  const of = (peers: readonly NetworkPolicyPeer[] | undefined, path: string): string[] =>
    (peers ?? []).flatMap(({ ipBlock }, index) => {
      if (ipBlock === undefined) return [];
      const at = `${path}[${index}].ipBlock`;
      return [
        ...cidrWarnings(ipBlock.cidr, `${at}.cidr`),
        ...(ipBlock.except ?? []).flatMap((except, place) => cidrWarnings(except, `${at}.except[${place}]`)),
      ];
    });
  return [
    ...(spec.ingress ?? []).flatMap(({ from }, index) => of(from, `spec.ingress[${index}].from`)),
    ...(spec.egress ?? []).flatMap(({ to }, index) => of(to, `spec.egress[${index}].to`)),
  ];
}

export const networkPolicyKind = defineKind<NetworkPolicy>({
  group: "networking.k8s.io",
  version: "v1",
  kind: "NetworkPolicy",
  resource: "networkpolicies",
  shortNames: ["netpol"],
  namespaced: true,
  schemaName: "io.k8s.api.networking.v1.NetworkPolicy",
  defaults({ spec }) {
    if (!spec) return;
    for (const rule of [...(spec.ingress ?? []), ...(spec.egress ?? [])]) {
      for (const port of rule.ports ?? []) port.protocol ??= "TCP";
    }
    if (!spec.policyTypes?.length) spec.policyTypes = spec.egress?.length ? ["Ingress", "Egress"] : ["Ingress"];
  },
  validateCreate: validate,
  validateUpdate: validate,
  strategy: plainStrategy({
    prepareForCreate(policy) {
      metaOf(policy).generation = 1;
    },
    prepareForUpdate: (policy, old) => setGeneration(policy, old, !sameValue(policy.spec, old.spec)),
    warnings: blockWarnings,
  }),
  columns: [NAME, column("Pod-Selector", "The labels of the pods that it is for."), AGE],
  row: (policy, context) => [nameOf(policy), formatSelector(policy.spec?.podSelector), age(policy, context)],
});
