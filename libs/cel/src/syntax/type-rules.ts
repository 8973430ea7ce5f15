// What the checker lets pass and the reference implementation does not: lists and maps of elements of several types, members
// that are asked for by a key of another type, and functions of lists whose items they are not for. After the check.
// https://pkg.go.dev/github.com/google/cel-go/cel#ValidateHomogeneousAggregateLiterals
import type { ASTNode } from "@marcbachmann/cel-js";
import { CONSTRUCT } from "./desugar.ts";
import type { Problem } from "./literals.ts";
import { eachNode, internals, type CheckedType } from "./node.ts";
import { messageElements } from "./optional-elements.ts";
import { placeOf } from "./places.ts";

const NUMBERS = ["int", "uint", "double", "google.protobuf.Duration"];
const ORDERED = [...NUMBERS, "google.protobuf.Timestamp", "string", "bool", "bytes"];

/** The items that functions of lists are for. */
const ITEMS: Readonly<Record<string, readonly string[]>> = {
  sum: NUMBERS,
  min: ORDERED,
  max: ORDERED,
  isSorted: ORDERED,
};

const typeOf = (node: ASTNode): CheckedType | undefined => (node as { checkedType?: CheckedType }).checkedType;
const isOpen = (type: CheckedType | undefined): boolean =>
  type === undefined || type.kind === "dyn" || type.kind === "param";

export function typeProblems(root: ASTNode): Problem[] {
  const found: Problem[] = [];
  const { texts, messages } = exemptLiterals(root);
  const seen = new Set<number>();
  eachNode(root, root.constructor, (node) => {
    if (node.op === "list" || node.op === "map") {
      const exempt = messages.has(node.start) || texts.some((each) => isWithin(node, each));
      // What macros made of a node stands where it stands.
      if (!exempt && !seen.has(node.start)) found.push(...mixedElements(node));
      seen.add(node.start);
    } else if (node.op === "[]") found.push(...wrongKey(node));
    else if (node.op === "rcall") found.push(...wrongItems(node));
  });
  return found;
}

/** What is put into texts may be of any types, and so may the fields of a message. */
function exemptLiterals(root: ASTNode): { readonly texts: readonly ASTNode[]; readonly messages: ReadonlySet<number> } {
  const texts: ASTNode[] = [];
  const messages = new Set<number>();
  eachNode(root, root.constructor, (node) => {
    if (node.op !== "rcall") return;
    const [name, , args] = node.args as unknown as readonly [string, ASTNode, readonly ASTNode[]];
    if (name === "format") texts.push(...args);
    if (name === CONSTRUCT) for (const each of args) messages.add(each.start);
  });
  return { texts, messages };
}

const isWithin = (node: ASTNode, outer: ASTNode): boolean => node.start >= outer.start && node.end <= outer.end;

/** Elements of which one is another type than the first. Optional ones say nothing of their own. */
function mixedElements(node: ASTNode): Problem[] {
  if (internals(node).meta.alternate !== undefined && node.op === "list") return [];
  if (node.op === "map") return mixedEntries(node);
  const elements = node.args as unknown as readonly ASTNode[];
  return mixed(elements.map((each) => ({ node: each, type: typeOf(each) })));
}

function mixedEntries(node: ASTNode): Problem[] {
  const entries = messageElements(node);
  const keys = entries.map(({ key }) => ({ node: key!, type: typeOf(key!) }));
  // Of an optional value counts what may be in it.
  const values = entries.map(({ value, optional }) => {
    const type = typeOf(value);
    return { node: value, type: optional ? type?.valueType : type };
  });
  return [...mixed(keys), ...mixed(values)];
}

/** Complains of all that are of another type than the first. */
function mixed(elements: readonly { readonly node: ASTNode; readonly type: CheckedType | undefined }[]): Problem[] {
  const wanted = elements[0]?.type;
  if (wanted === undefined || isOpen(wanted)) return [];
  return elements.flatMap(({ node, type }) => {
    if (type === undefined || alike(wanted, type)) return [];
    return [{ start: placeOf(node), message: `expected type '${wanted.name}' but found '${type.name}'` }];
  });
}

function alike(a: CheckedType | undefined, b: CheckedType | undefined): boolean {
  if (a === undefined || b === undefined || isOpen(a) || isOpen(b) || a.name === b.name) return true;
  return (
    a.kind === b.kind && a.valueType !== undefined && alike(a.keyType, b.keyType) && alike(a.valueType, b.valueType)
  );
}

function wrongKey(node: ASTNode): Problem[] {
  const [left, key] = (node.args as unknown as readonly [ASTNode, ASTNode]).map((each) => typeOf(each));
  if (left === undefined || key === undefined || isOpen(key)) return [];
  const unfit = left.kind === "message" || (left.kind === "map" && !alike(left.keyType, key));
  if (!unfit) return [];
  const message = `found no matching overload for '_[_]' applied to '(${left.name}, ${key.name})'`;
  return [{ start: placeOf(node), message }];
}

function wrongItems(node: ASTNode): Problem[] {
  const [name, receiver, args] = node.args as unknown as readonly [string, ASTNode, readonly ASTNode[]];
  const wanted = Object.hasOwn(ITEMS, name) && args.length === 0 ? ITEMS[name] : undefined;
  const list = typeOf(receiver);
  if (wanted === undefined || list?.kind !== "list" || isOpen(list.valueType)) return [];
  if (wanted.includes(list.valueType!.name)) return [];
  return [{ start: placeOf(node), message: `found no matching overload for '${name}' applied to '${list.name}.()'` }];
}
