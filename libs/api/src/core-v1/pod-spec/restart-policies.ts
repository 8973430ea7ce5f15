// Restart policies of single containers, and the rules that go with them.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#individual-container-restart-policy-and-rules
import type { FieldError } from "@coxswain/apimachinery";
import {
  childPath,
  fieldForbidden,
  fieldNotSupported,
  fieldRequired,
  fieldTooLong,
  indexPath,
} from "@coxswain/apimachinery";
import type { Container, ContainerRestartRule } from "../../types.gen.ts";
import { validateOptionalEnum } from "../../validation/enums.ts";

const POLICIES = ["Always", "Never", "OnFailure"];
const MAX_RULES = 20;
const MAX_EXIT_CODES = 255;

function validateRule({ action, exitCodes }: ContainerRestartRule, path: string): FieldError[] {
  const errors = action === "Restart" ? [] : [fieldNotSupported(childPath(path, "action"), action ?? "", ["Restart"])];
  const at = childPath(path, "exitCodes");
  if (exitCodes === undefined) return [...errors, fieldRequired(at, "must be specified")];
  errors.push(...validateOptionalEnum(exitCodes.operator ?? "", ["In", "NotIn"], childPath(at, "operator")));
  if ((exitCodes.values?.length ?? 0) > MAX_EXIT_CODES) {
    errors.push(fieldTooLong(childPath(at, "values"), MAX_EXIT_CODES));
  }
  return errors;
}

/** The policy of the container at `path`, and its rules, which want one. */
export function validateRestartPolicy(container: Container, path: string): FieldError[] {
  const { restartPolicy, restartPolicyRules: rules = [] } = container;
  const [policy, list] = [childPath(path, "restartPolicy"), childPath(path, "restartPolicyRules")];
  const errors = validateOptionalEnum(restartPolicy, POLICIES, policy);
  if (restartPolicy === undefined && rules.length > 0) {
    errors.push(fieldRequired(policy, "must specify restartPolicy when restart rules are used"));
  }
  if (rules.length > MAX_RULES) errors.push(fieldTooLong(list, MAX_RULES));
  return [...errors, ...rules.flatMap((rule, index) => validateRule(rule, indexPath(list, index)))];
}

/** As of other containers; a sidecar runs again whatever happens, and has no rules. */
export function validateInitRestartPolicy(container: Container, path: string): FieldError[] {
  const { restartPolicy, restartPolicyRules: rules = [] } = container;
  if (restartPolicy === undefined && rules.length > 0) {
    const detail = "must specify restartPolicy when restart rules are used";
    return [fieldRequired(childPath(path, "restartPolicy"), detail)];
  }
  if (restartPolicy !== "Always") return validateRestartPolicy(container, path);
  if (rules.length === 0) return [];
  const detail = "restartPolicyRules are not allowed for init containers with restart policy Always";
  return [fieldForbidden(childPath(path, "restartPolicyRules"), detail)];
}
