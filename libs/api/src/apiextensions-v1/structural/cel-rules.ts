// x-kubernetes-validations: compiles the rules of a schema and judges objects by them. Guarantees: rules are compiled once;
// all of them together stay within a budget per object; a rule that speaks of the old value is asked only where there is
// one; what was wrong before and did not change is let pass, except by rules that speak of the old value.
// https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
import {
  childPath,
  deepEqual,
  fieldDuplicate,
  fieldForbidden,
  fieldInvalid,
  fieldRequired,
  indexPath,
  isJsonObject,
  keyPath,
  type FieldError,
} from "@coxswain/apimachinery";
import { CelFailure, CelScope, type CelProgram } from "@coxswain/cel";
import type { ValidationRule } from "../types.ts";
import { celTypeOf } from "./cel-types.ts";
import { resolveFieldPath } from "./field-path.ts";
import { canonicalText, listKey } from "./list-types.ts";
import type { StructuralSchema } from "./schema.ts";
import { UNCORRELATED } from "./validate-values.ts";

/** Steps that all rules together may take for one object. */
const OBJECT_BUDGET = 10_000_000;
const MAX_MESSAGE_BYTES = 5 * 1024;

export interface CompiledRule {
  readonly rule: ValidationRule;
  readonly scope: CelScope;
  /** Undefined where the rule does not compile: `issue` says why. */
  readonly program: CelProgram | undefined;
  readonly issue: string | undefined;
  readonly message: CelProgram | undefined;
  readonly messageIssue: string | undefined;
  readonly usesOld: boolean;
  /** Where an error of the rule stands, below the value; "" for the value itself. */
  readonly path: string;
}

/** Compiles the rules that stand at one place. `resource` is true for the root of an object. */
export function compileRulesAt(schema: StructuralSchema, resource: boolean): CompiledRule[] {
  const type = celTypeOf({ ...schema, nullable: false }, resource);
  if (schema.rules.length === 0) return [];
  const scopes = new Map<boolean, CelScope>();
  const scopeFor = (optional: boolean): CelScope => {
    const known = scopes.get(optional);
    if (known !== undefined) return known;
    const declared = type ?? { is: "dyn" as const };
    const made = new CelScope({ self: declared, oldSelf: declared }, optional ? { optional: ["oldSelf"] } : {});
    scopes.set(optional, made);
    return made;
  };
  return schema.rules.map((rule) => compileRule(rule, schema, scopeFor(rule.optionalOldSelf === true)));
}

function compileRule(rule: ValidationRule, schema: StructuralSchema, scope: CelScope): CompiledRule {
  const compiled = scope.compile(rule.rule);
  let issue = "issue" in compiled ? `compilation failed: ${compiled.issue}` : undefined;
  const program = "program" in compiled ? compiled.program : undefined;
  if (program !== undefined && program.type !== "bool" && program.type !== "dyn") {
    issue = "cel expression must evaluate to a bool";
  }
  const message = rule.messageExpression ? scope.compile(rule.messageExpression) : undefined;
  let messageIssue =
    message !== undefined && "issue" in message ? `messageExpression compilation failed: ${message.issue}` : undefined;
  const messageProgram = message !== undefined && "program" in message ? message.program : undefined;
  if (messageProgram !== undefined && !["string", "dyn"].includes(messageProgram.type)) {
    messageIssue = "messageExpression must evaluate to a string";
  }
  const resolved = rule.fieldPath ? resolveFieldPath(rule.fieldPath, schema.source, true) : undefined;
  return {
    rule,
    scope,
    program: issue === undefined ? program : undefined,
    issue,
    message: messageIssue === undefined ? messageProgram : undefined,
    messageIssue,
    usesOld: program?.uses.has("oldSelf") === true,
    path: resolved !== undefined && "path" in resolved ? resolved.path : "",
  };
}

export interface RuleValidator {
  /** Errors of the rules; `old` is UNCORRELATED on a create, `path` where the object stands. */
  validate(object: unknown, old?: unknown, path?: string): FieldError[];
}

/** Undefined where the schema has no rules. `resource`: it is that of a whole object. */
export function compileRules(schema: StructuralSchema, resource = true): RuleValidator | undefined {
  const node = ruleNode(schema, resource);
  if (node === undefined) return undefined;
  return {
    validate(object, old = UNCORRELATED, path = "") {
      const run = new RuleRun();
      run.visit(node, object, old, path, UNCHANGED_NEVER);
      return run.errors;
    },
  };
}

interface RuleNode {
  readonly schema: StructuralSchema;
  readonly rules: readonly CompiledRule[];
  readonly properties: ReadonlyMap<string, RuleNode>;
  readonly additional: RuleNode | undefined;
  readonly items: RuleNode | undefined;
}

function ruleNode(schema: StructuralSchema, resource: boolean): RuleNode | undefined {
  const rules = compileRulesAt(schema, resource);
  const properties = new Map<string, RuleNode>();
  for (const [name, property] of schema.properties) {
    const node = ruleNode(property, property.embedded);
    if (node !== undefined) properties.set(name, node);
  }
  const { items, additional } = schema;
  const itemsNode = items === undefined ? undefined : ruleNode(items, items.embedded);
  const additionalNode = additional === undefined || additional === true ? undefined : ruleNode(additional, false);
  const empty = rules.length === 0 && properties.size === 0 && itemsNode === undefined && additionalNode === undefined;
  return empty ? undefined : { schema, rules, properties, items: itemsNode, additional: additionalNode };
}

/** Says whether the nearest place whose old value is known did not change. */
type Unchanged = () => boolean;
const UNCHANGED_NEVER: Unchanged = () => false;

class RuleRun {
  readonly errors: FieldError[] = [];
  #budget = OBJECT_BUDGET;
  #over = false;

  visit(node: RuleNode, value: unknown, old: unknown, path: string, outer: Unchanged): void {
    if (value === null || value === undefined || this.#over) return;
    const unchanged: Unchanged = old === UNCORRELATED ? outer : () => deepEqual(value, old);
    const known = old === UNCORRELATED || old === null ? undefined : old;
    for (const rule of node.rules) {
      if (this.#over) return;
      this.#judge(rule, node.schema, value, known, path, unchanged);
    }
    if (Array.isArray(value)) this.#visitItems(node, value, old, path, unchanged);
    else if (isJsonObject(value)) this.#visitMembers(node, value, old, path, unchanged);
  }

  #visitItems(node: RuleNode, list: readonly unknown[], old: unknown, path: string, unchanged: Unchanged): void {
    const { items, schema } = node;
    if (items === undefined) return;
    const keys = schema.listMapKeys;
    const correlates = schema.listType === "map" && Array.isArray(old);
    const byKey = new Map(correlates ? old.map((item: unknown) => [canonicalText(listKey(item, keys)), item]) : []);
    list.forEach((item, at) => {
      const key = correlates ? canonicalText(listKey(item, keys)) : "";
      this.visit(items, item, byKey.has(key) ? byKey.get(key) : UNCORRELATED, indexPath(path, at), unchanged);
    });
  }

  #visitMembers(
    node: RuleNode,
    object: Record<string, unknown>,
    old: unknown,
    path: string,
    unchanged: Unchanged,
  ): void {
    const { properties, additional, schema } = node;
    // Members of an atomic map have names like all others.
    const before = isJsonObject(old) ? old : undefined;
    for (const key of Object.keys(object)) {
      const property = properties.get(key);
      const below = property ?? (schema.properties.has(key) ? undefined : additional);
      if (below === undefined) continue;
      const member = before !== undefined && Object.hasOwn(before, key) ? before[key] : UNCORRELATED;
      this.visit(
        below,
        object[key],
        member,
        property === undefined ? keyPath(path, key) : childPath(path, key),
        unchanged,
      );
    }
  }

  #judge(
    compiled: CompiledRule,
    schema: StructuralSchema,
    value: unknown,
    old: unknown,
    path: string,
    unchanged: Unchanged,
  ): void {
    const { rule, scope, program, usesOld } = compiled;
    const optional = rule.optionalOldSelf === true;
    if (program === undefined) {
      this.#add(path, schema.type, `rule compile error: ${compiled.issue}`);
      return;
    }
    if (usesOld && old === undefined && !optional) return;
    const self = scope.value("self", value);
    // A value of the wrong type is told by the schema.
    if (self === undefined) return;
    const oldSelf = optional ? scope.optionalValue("oldSelf", old) : scope.value("oldSelf", old);
    const values = { self, ...(oldSelf === undefined ? {} : { oldSelf }) };
    const result = this.#run(program, values, rule, schema, path);
    if (result === undefined || result === true) return;
    if (!usesOld && unchanged()) return;
    const message = this.#messageOf(compiled, values) ?? ruleMessage(rule);
    this.errors.push(
      ruleError(rule, schema, value, compiled.path === "" ? path : childPath(path, compiled.path), message),
    );
  }

  /** The result; undefined where there is none, which is told then. */
  #run(
    program: CelProgram,
    values: Readonly<Record<string, unknown>>,
    rule: ValidationRule,
    schema: StructuralSchema,
    path: string,
  ): unknown {
    try {
      const { value, cost } = program.run(values);
      this.#budget -= cost;
      if (this.#budget >= 0) return value;
      const detail = "validation failed due to running out of cost budget, no further validation rules will be run";
      this.#stop(path, schema.type, detail);
    } catch (error) {
      if (!(error instanceof CelFailure)) throw error;
      const text = rule.message ? rule.message.trim() : rule.rule.trim();
      if (error.exhausted) {
        const detail = `'${error.message}': no further validation rules will be run due to call cost exceeds limit for rule: ${text}`;
        this.#stop(path, schema.type, detail);
      } else if (error.message.startsWith("no such overload")) {
        const detail = `'${error.message}': call arguments did not match a supported operator, function or macro signature for rule: ${text}`;
        this.#add(path, schema.type, detail);
      } else this.#add(path, schema.type, `${error.message} evaluating rule: ${text}`);
    }
    return undefined;
  }

  /** What the message expression gives; undefined where it gives nothing of use. */
  #messageOf({ message }: CompiledRule, values: Readonly<Record<string, unknown>>): string | undefined {
    if (message === undefined) return undefined;
    try {
      const { value, cost } = message.run(values);
      this.#budget -= cost;
      const text = typeof value === "string" ? value.trim() : "";
      const usable = text !== "" && !text.includes("\n") && Buffer.byteLength(text) <= MAX_MESSAGE_BYTES;
      return usable ? text : undefined;
    } catch (error) {
      if (!(error instanceof CelFailure)) throw error;
      return undefined;
    }
  }

  #add(path: string, type: string, detail: string): void {
    this.errors.push(fieldInvalid(path === "" ? "<nil>" : path, type, detail));
  }

  #stop(path: string, type: string, detail: string): void {
    this.#over = true;
    this.#add(path, type, detail);
  }
}

function ruleMessage(rule: ValidationRule): string {
  return rule.message ? rule.message.trim() : `failed rule: ${rule.rule.trim()}`;
}

function ruleError(
  rule: ValidationRule,
  schema: StructuralSchema,
  value: unknown,
  path: string,
  detail: string,
): FieldError {
  const field = path === "" ? "<nil>" : path;
  if (rule.reason === "FieldValueForbidden") return fieldForbidden(field, detail);
  if (rule.reason === "FieldValueRequired") return fieldRequired(field, detail);
  if (rule.reason === "FieldValueDuplicate") return fieldDuplicate(field, value);
  // Objects and lists are not shown.
  return schema.type === "object" || schema.type === "array"
    ? { type: "FieldValueInvalid", field, detail: `Invalid value: ${detail}` }
    : fieldInvalid(field, value, detail);
}
