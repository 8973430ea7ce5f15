// What a Node must be: valid taints and blocks of pod addresses, which never change once given.
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  indexPath,
  validateLabelValue,
  validateQualifiedName,
} from "@coxswain/apimachinery";
import { sameValue } from "../../same-value.ts";
import type { Node, Taint } from "../../types.gen.ts";
import { validateEnum, validateWith } from "../../validation/enums.ts";
import { looseCidr, validateCidr } from "../../validation/ip.ts";
import { validateQuantityValue } from "../../validation/resources.ts";
import { TAINT_EFFECTS } from "../pod-spec/scheduling.ts";

// Upstream names this path so, though the taints stand in the spec.
const TAINTS = "metadata.taints";

function validateTaints(taints: readonly Taint[]): FieldError[] {
  return taints.flatMap((taint, index) => {
    const at = indexPath(TAINTS, index);
    const errors = validateWith(validateQualifiedName, taint.key, childPath(at, "key"));
    const messages = validateLabelValue(taint.value ?? "");
    if (messages.length > 0) errors.push(fieldInvalid(childPath(at, "value"), taint.value, messages.join(";")));
    errors.push(...validateEnum(taint.effect, TAINT_EFFECTS, childPath(at, "effect")));
    const repeated = taints.slice(0, index).some((t) => t.key === taint.key && t.effect === taint.effect);
    if (repeated) {
      const error = fieldDuplicate(at, taint);
      errors.push({ ...error, detail: `${error.detail}: taints must be unique by key and effect pair` });
    }
    return errors;
  });
}

function validateResources(node: Node): FieldError[] {
  return (["capacity", "allocatable"] as const).flatMap((list) =>
    Object.entries(node.status?.[list] ?? {}).flatMap(([name, value]) =>
      validateQuantityValue(name, value, childPath("status", list, name)),
    ),
  );
}

export function validateNode(node: Node): FieldError[] {
  const cidrs = node.spec?.podCIDRs ?? [];
  const errors = [...validateTaints(node.spec?.taints ?? []), ...validateResources(node)];
  for (const [index, cidr] of cidrs.entries()) errors.push(...validateCidr(cidr, indexPath("spec.podCIDRs", index)));
  if (new Set(cidrs.map((cidr) => looseCidr(cidr)?.family)).size < cidrs.length) {
    errors.push(fieldInvalid("spec.podCIDRs", cidrs, "may specify no more than one CIDR for each IP family"));
  }
  return errors;
}

export function validateNodeUpdate(node: Node, old: Node): FieldError[] {
  const errors = validateNode(node);
  const addresses = (node.status?.addresses ?? []).map((address) => `${address.type} ${address.address}`);
  for (const [index, address] of addresses.entries()) {
    if (addresses.indexOf(address) < index) {
      errors.push(fieldDuplicate(indexPath("status.addresses", index), node.status?.addresses?.[index]));
    }
  }
  const before = old.spec ?? {};
  if ((before.podCIDRs?.length ?? 0) > 0 && !sameValue(node.spec?.podCIDRs, before.podCIDRs)) {
    const detail = 'node updates may not change podCIDR except from "" to valid';
    errors.push(fieldForbidden("spec.podCIDRs", detail));
  }
  if (before.providerID && node.spec?.providerID !== before.providerID) {
    const detail = 'node updates may not change providerID except from "" to valid';
    errors.push(fieldForbidden("spec.providerID", detail));
  }
  if ((node.spec?.externalID ?? "") !== (before.externalID ?? "")) {
    errors.push(fieldForbidden("spec.externalID", "may not be updated"));
  }
  return errors;
}
