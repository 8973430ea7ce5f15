// What a mutation makes of an object. Guarantees: the object given is never changed; an ApplyConfiguration says nothing that
// the kind does not know, and replaces no value that is one as a whole.
// https://kubernetes.io/docs/reference/access-authn-authz/mutating-admission-policy/
import type { KindDefinition, Mutation } from "@coxswain/api";
import { applyJsonPatch, apiVersionOf, isJsonObject, StatusError, type KubeObject } from "@coxswain/apimachinery";
import { checkTyped, mergeObjects, type TypeSchema } from "@coxswain/apimachinery/managed-fields/index";
import { CelMessage, celToJson, misplacedObjects } from "@coxswain/cel";
import { typeOf } from "../../registry/apply-tracking.ts";
import type { ExpressionRun } from "./policy-program.ts";

/** The mutation cannot be made; the policy says whether that matters. */
export class MutationError extends Error {
  override readonly name = "MutationError";
}

/** @throws MutationError, BudgetError */
export function mutated(mutation: Mutation, kind: KindDefinition, object: KubeObject, run: ExpressionRun): KubeObject {
  const { patchType, applyConfiguration, jsonPatch } = mutation;
  const expression = (patchType === "JSONPatch" ? jsonPatch : applyConfiguration)?.expression ?? "";
  const found = run.evaluate(expression);
  if ("failure" in found) throw new MutationError(found.failure);
  return patchType === "JSONPatch" ? patched(object, found.value) : applied(object, found.value, kind);
}

function checkNames(value: unknown): void {
  const wrong = misplacedObjects(value);
  if (wrong.length > 0) throw new MutationError(`type mismatch: ${wrong.join("\n")}`);
}

function jsonOf(value: unknown, what: string): unknown {
  try {
    return celToJson(value);
  } catch (error) {
    throw new MutationError(`${what}: ${(error as Error).message}`);
  }
}

function applied(object: KubeObject, value: unknown, kind: KindDefinition): KubeObject {
  if (!(value instanceof CelMessage) || value.typeName !== "Object") {
    throw new MutationError("unsupported return type from ApplyConfiguration expression");
  }
  checkNames(value);
  const json = jsonOf(value, "invalid return type");
  const config = { ...(json as Record<string, unknown>), apiVersion: apiVersionOf(kind), kind: kind.kind };
  const type = typeOf(kind);
  const wrong = checkTyped(config, type);
  if (wrong.length > 0) {
    const text = wrong.length === 1 ? wrong[0] : ["errors:", ...wrong.map((each) => `  ${each}`)].join("\n");
    throw new MutationError(`error applying patch: failed to convert patch object to typed object: ${text}`);
  }
  const atomic = atomicPaths(config, type, "");
  if (atomic.length > 0) {
    const text = `may not mutate atomic arrays, maps or structs: ${atomic.join(", ")}`;
    throw new MutationError(`error applying patch: invalid ApplyConfiguration: ${text}`);
  }
  return mergeObjects(object, config, type) as KubeObject;
}

/** Where a configuration would replace something whole. */
function atomicPaths(value: unknown, type: TypeSchema, path: string): string[] {
  if (isJsonObject(value) && type.map !== undefined) {
    const { map } = type;
    const below = Object.entries(value).flatMap(([name, member]) => {
      const field = map.field(name);
      return field === undefined ? [] : atomicPaths(member, field.type, `${path}.${name}`);
    });
    return map.atomic ? [path, ...below] : below;
  }
  if (!Array.isArray(value) || type.list === undefined) return [];
  const element = type.list.element();
  const below = value.flatMap((item, at) => atomicPaths(item, element, `${path}[${at}]`));
  return type.list.relationship === "atomic" ? [path, ...below] : below;
}

function patched(object: KubeObject, value: unknown): KubeObject {
  if (!Array.isArray(value))
    throw new MutationError("type mismatch: JSONPatchType.expression should evaluate to array");
  const operations = value.map((each: unknown) => {
    if (!(each instanceof CelMessage) || each.typeName !== "JSONPatch") {
      throw new MutationError("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch");
    }
    checkNames(each.get("value"));
    const what = "JSONPath valueExpression evaluated to a type that could not marshal to JSON";
    return Object.fromEntries([...each].map(([name, part]) => [name, jsonOf(part, what)]));
  });
  try {
    return applyJsonPatch(object, operations) as KubeObject;
  } catch (error) {
    if (!(error instanceof StatusError)) throw error;
    const text = error.cause instanceof Error ? error.cause.message : error.message;
    // A test that fails means that nothing is to be done.
    if (text.endsWith("test failed")) return object;
    throw new MutationError(`JSONPath: ${text}`);
  }
}
