// What bodies of many creations have in common: pods of one template end with the same bytes, from their spec on. Those are parsed,
// looked through and filled in with defaults once. Guarantees: a body is put together from its own beginning and a known end only
// where that is what parsing all of it gives, and else is parsed as a whole; memory stays bounded.
import type { KindDefinition } from "@coxswain/api";
import { inspect } from "@coxswain/api/schema/index";
import { decodeJson, deepClone, isJsonObject, RecentTexts, StatusError, type KubeObject } from "@coxswain/apimachinery";
import type { CreatedSets } from "@coxswain/apimachinery/managed-fields/index";

/** Never stands within a JSON string, where its quotes would be escaped. */
const SPEC = ',"spec":{';
/** Longer ends are not worth their room. */
const MAX_LENGTH = 16 * 1024;
/** Characters of ends. */
const GENERATION = 256 * 1024;
/** Of ends that came once. */
const MAX_MARKS = 4096;

/** The end of a body. */
export interface Template {
  /** Its members, with defaults. Shared: copy before you change one. */
  readonly members: Readonly<Record<string, unknown>>;
  /** Who manages what of objects that were created with it. */
  readonly sets: CreatedSets;
}

export interface SplitBody {
  /** JSON of the object without the members of the template. */
  readonly head: unknown;
  readonly duplicates: readonly string[];
  readonly template: Template;
}

class Templates {
  readonly #kind: KindDefinition;
  /** null: of this end there is something to be said. */
  readonly #known = new RecentTexts<Template | null>(GENERATION);
  /** Of ends that came once, and maybe of others: those that never come again are not worth a look. */
  readonly #marks = new Set<number>();

  constructor(kind: KindDefinition) {
    this.#kind = kind;
  }

  find(end: string): Template | null {
    const known = this.#known.get(end);
    if (known !== undefined) return known;
    if (!this.#cameBefore(end)) return null;
    const template = learn(this.#kind, end);
    this.#known.set(end, template);
    return template;
  }

  /** True where it did, and maybe where it did not. */
  #cameBefore(end: string): boolean {
    const mark = markOf(end);
    if (this.#marks.has(mark)) return true;
    if (this.#marks.size >= MAX_MARKS) this.#marks.clear();
    this.#marks.add(mark);
    return false;
  }
}

/** Some of the text as a number. */
function markOf(end: string): number {
  const step = 1 + (end.length >> 6);
  let mark = end.length;
  for (let at = 0; at < end.length; at += step) mark = (Math.imul(mark, 31) + end.charCodeAt(at)) | 0;
  return mark;
}

/** null where there is anything to be said of the end. */
function learn(kind: KindDefinition, end: string): Template | null {
  const decoded = decoding(`{${end.slice(1)}`);
  if (decoded === undefined || decoded.duplicates.length > 0 || !isJsonObject(decoded.value)) return null;
  const members = decoded.value;
  if (Object.hasOwn(members, "metadata") || inspect(members, kind.schemaName) !== "clean") return null;
  kind.defaults(members);
  return { members, sets: { members: new Set(Object.keys(members)), byRest: new Map() } };
}

/** Undefined where it is not JSON, or none that is taken. */
function decoding(text: string): ReturnType<typeof decodeJson> | undefined {
  try {
    return decodeJson(text, { duplicates: true });
  } catch (error) {
    if (error instanceof StatusError) return undefined;
    throw error;
  }
}

const templates = new Map<KindDefinition, Templates>();

/** Undefined where the body is to be decoded as a whole. */
export function splitBody(kind: KindDefinition, text: string): SplitBody | undefined {
  if (kind.specAlone !== true) return undefined;
  const at = text.indexOf(SPEC);
  if (at < 0 || text.length - at > MAX_LENGTH) return undefined;
  let known = templates.get(kind);
  if (known === undefined) {
    known = new Templates(kind);
    templates.set(kind, known);
  }
  const template = known.find(text.slice(at));
  if (template === null) return undefined;
  // What is an object when it is closed here is one, too, that goes on with further members.
  const beginning = decoding(`${text.slice(0, at)}}`);
  if (beginning === undefined || !isJsonObject(beginning.value)) return undefined;
  const names = Object.keys(beginning.value);
  if (names.length === 0 || names.some((name) => Object.hasOwn(template.members, name))) return undefined;
  return { head: beginning.value, duplicates: beginning.duplicates, template };
}

/** Gives an object copies of the template's members. */
export function complete(object: KubeObject, { members }: Template): KubeObject {
  for (const name of Object.keys(members)) (object as Record<string, unknown>)[name] = deepClone(members[name]);
  return object;
}
