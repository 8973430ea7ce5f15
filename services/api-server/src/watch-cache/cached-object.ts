// An object at one version: bytes first. The JSON is made once, and packed where the object stays; the parsed form on demand,
// and kept for the most recently parsed few thousand objects only, so that a large cluster's cache stays off the heap.
import type { KindDefinition } from "@coxswain/api";
import { convertForm } from "@coxswain/api/scheme";
import { apiVersionOf, deepClone, setOwn, type KubeObject, type ObjectMeta } from "@coxswain/apimachinery";
import type { Asker, VersionedObject } from "../pipeline/contract.ts";
import { parseStored } from "./managed-form.ts";
import { identityOf, opaqueKind } from "./opaque-kind.ts";
import { unpack } from "./packed-form.ts";
import type { Place, Segment, Slab, SlabMember } from "./slab.ts";
import { encodeStored, respliceVersion, spliceVersion } from "./stored-form.ts";
import { parsedForm } from "./written-form.ts";

const RETAINED = 8192;
/** Of what this process wrote itself; what is written again is so soon, as a pod that gets its node. */
const RETAINED_WRITTEN = 2048;

/** The last objects that were parsed, oldest overwritten first. */
const ring: (CachedObject | undefined)[] = Array.from({ length: RETAINED });
let ringAt = 0;

/** The last objects that were written, likewise. */
const writtenRing: (CachedObject | undefined)[] = Array.from({ length: RETAINED_WRITTEN });
let writtenAt = 0;

/** Where the JSON of an object is put together on its way into the slab. */
const scratch = Buffer.allocUnsafeSlow(64 * 1024);

export class CachedObject implements VersionedObject, SlabMember {
  readonly kind: KindDefinition;
  readonly namespace: string;
  readonly name: string;
  readonly rv: bigint;
  /** Bytes of the JSON. */
  readonly jsonLength: number;
  /** Of its own; the segment's where it is packed. */
  #bytes: Buffer;
  #segment: Segment | undefined;
  /** Where the record is in the segment. */
  #at = 0;
  #retired = false;
  #object: KubeObject | undefined;
  /** What the JSON was made of. */
  #written: KubeObject | undefined;
  /** The same state as another version or group has it. */
  #form: CachedObject | undefined;

  constructor(kind: KindDefinition, namespace: string, name: string, rv: bigint, json: Buffer) {
    this.kind = kind;
    this.namespace = namespace;
    this.name = name;
    this.rv = rv;
    this.jsonLength = json.length;
    this.#bytes = json;
  }

  /** An object of a list, packed at once. */
  static packed(
    slab: Slab,
    kind: KindDefinition,
    namespace: string,
    name: string,
    rv: bigint,
    stored: Buffer,
  ): CachedObject {
    if (kind.custom !== undefined) return CachedObject.fromStored(kind, namespace, name, rv, stored);
    const json = spliceVersion(kind, stored, rv, scratch);
    const object = new CachedObject(kind, namespace, name, rv, json);
    // What is too large for the slab may lie in the scratch, or in memory that holds more.
    if (!slab.add(object, json)) object.#bytes = Buffer.from(json);
    return object;
  }

  /** JSON of the served version with metadata.resourceVersion in place. Shared where it is not packed: never change it. */
  get json(): Buffer {
    if (this.#segment === undefined) return this.#bytes;
    const out = Buffer.allocUnsafe(this.jsonLength);
    unpack(this.#bytes, this.#at, out, 0);
    return out;
  }

  /**
   * Writes the JSON without its first `skip` bytes, which end before its managedFields, to `target` from `at` on, where there must
   * be room.
   */
  copyJson(target: Buffer, at: number, skip = 0): void {
    if (this.#segment === undefined) this.#bytes.copy(target, at, skip);
    else unpack(this.#bytes, this.#at, target, at, skip);
  }

  /** For an object that has been there for a while and may stay. */
  pack(slab: Slab): void {
    if (this.#segment === undefined) slab.add(this, this.#bytes);
  }

  /** It is no longer what is there under its name. Who has it can go on reading it. */
  retire(slab: Slab): void {
    if (this.#retired) return;
    this.#retired = true;
    if (this.#segment !== undefined) slab.release(this.#segment);
  }

  get place(): Place | undefined {
    return this.#retired || this.#segment === undefined ? undefined : { segment: this.#segment, at: this.#at };
  }

  moveTo(segment: Segment, at: number): void {
    this.#segment = segment;
    this.#bytes = segment.bytes;
    this.#at = at;
  }

  static fromStored(kind: KindDefinition, namespace: string, name: string, rv: bigint, stored: Buffer): CachedObject {
    if (kind.form !== undefined) return CachedObject.fromStored(kind.form.of, namespace, name, rv, stored).as(kind);
    if (kind.custom === undefined) return new CachedObject(kind, namespace, name, rv, spliceVersion(kind, stored, rv));
    const own = opaqueKind(kind, identityOf(stored));
    return new CachedObject(own, namespace, name, rv, spliceVersion(own, stored, rv)).#revived(kind);
  }

  /** The same state as `kind` has it. Custom kinds have versions, and defaults that came after the object. */
  as(kind: KindDefinition): CachedObject {
    if (this.kind === kind || (kind.custom === undefined && kind.form === undefined)) return this;
    return this.#formOf(kind) ?? (this.#form = kind.form === undefined ? this.#revived(kind) : this.#formed(kind));
  }

  /** The same, where a webhook may have to be asked first. Rejects with StatusError. */
  formIn(kind: KindDefinition, asker?: Asker): CachedObject | Promise<CachedObject> {
    if (!this.#isForeign(kind)) return this.as(kind);
    return this.#formOf(kind) ?? CachedObject.formsIn(kind, [this], asker).then(([form]) => form!);
  }

  /** The same for many, of which all that are in other versions are asked about at once. Rejects with StatusError. */
  static async formsIn(kind: KindDefinition, objects: readonly CachedObject[], asker?: Asker): Promise<CachedObject[]> {
    // Readers of other versions replace the form that an object remembers, also while the webhook is asked.
    const forms = objects.map((each) => (each.#isForeign(kind) ? each.#formOf(kind) : each.as(kind)));
    const missing = objects.filter((_, at) => forms[at] === undefined);
    if (missing.length === 0) return forms as CachedObject[];
    const plain = missing.map((each) => each.#revivedIn(kind).object);
    const converted = (await kind.custom!.convert!(plain, apiVersionOf(kind), asker)).values();
    return objects.map((each, at) => forms[at] ?? (each.#form = each.#converted(kind, converted.next().value!)));
  }

  /** The form that is remembered, where it is that. */
  #formOf(kind: KindDefinition): CachedObject | undefined {
    return this.#form?.kind === kind ? this.#form : undefined;
  }

  /** What lies in storage, as `kind` has it. Rejects with StatusError. */
  static read(
    kind: KindDefinition,
    namespace: string,
    name: string,
    rv: bigint,
    stored: Buffer,
  ): CachedObject | Promise<CachedObject> {
    if (kind.custom?.convert === undefined) return CachedObject.fromStored(kind, namespace, name, rv, stored);
    const own = opaqueKind(kind, identityOf(stored));
    return CachedObject.fromStored(own, namespace, name, rv, stored).formIn(kind);
  }

  /** True where the state is of a version that only a webhook can make into one of `kind`. */
  #isForeign(kind: KindDefinition): boolean {
    return kind.custom?.convert !== undefined && this.kind.version !== kind.version;
  }

  #converted(kind: KindDefinition, object: KubeObject): CachedObject {
    kind.custom?.prune?.(object);
    const { namespace, name, rv } = this;
    return new CachedObject(kind, namespace, name, rv, spliceVersion(kind, Buffer.from(JSON.stringify(object)), rv));
  }

  /** In another form that is made without asking anybody. */
  #formed(kind: KindDefinition): CachedObject {
    const { namespace, name, rv } = this;
    const json = spliceVersion(kind, encodeStored(kind, convertForm(this.kind, kind, this.copy())), rv);
    return new CachedObject(kind, namespace, name, rv, json);
  }

  /** As a version of a custom kind has it: in the form of the version that it is stored in first. */
  #revivedIn(kind: KindDefinition): { readonly object: KubeObject; readonly changed: boolean } {
    const object = this.copy();
    return { object, changed: kind.custom?.revive?.(object, this.kind.version) === true };
  }

  #revived(kind: KindDefinition): CachedObject {
    const { namespace, name, rv } = this;
    const { object, changed } = this.#revivedIn(kind);
    const same = !changed && this.kind.version === kind.version && this.kind.kind === kind.kind;
    if (this.kind.version !== kind.version) kind.custom?.prune?.(object);
    const json = same ? this.json : spliceVersion(kind, encodeStored(kind, object), rv);
    return new CachedObject(kind, namespace, name, rv, json);
  }

  /** Shared: copy before you change it. */
  get object(): KubeObject {
    let object = this.#object;
    if (object === undefined) {
      const written = this.#written;
      object = (written && parsedForm(this.kind, written, this.rv)) ?? parseStored(this.json);
      this.#written = undefined;
      this.#retain(object);
    }
    return object;
  }

  /** The object where it need not be parsed. Shared, and members that JSON leaves out may be there as undefined. */
  get atHand(): KubeObject | undefined {
    return this.#object ?? this.#written;
  }

  /** `written` is what its JSON was made of, and stays as it is. */
  remember(written: KubeObject): void {
    if (this.#object !== undefined || this.#written !== undefined) return;
    this.#written = written;
    const evicted = writtenRing[writtenAt];
    if (evicted !== undefined) evicted.#written = undefined;
    writtenRing[writtenAt] = this;
    writtenAt = (writtenAt + 1) % RETAINED_WRITTEN;
  }

  /** A copy of one's own, but for the sets of fields in managedFields, which are frozen. */
  copy(): KubeObject {
    return parseStored(this.json);
  }

  /** A copy of one's own, without managedFields. */
  unmanaged(): KubeObject {
    return deepClone(this.draft());
  }

  /** The same, of which only the top and metadata are one's own: what lies below is shared, to be replaced and not changed. */
  draft(): KubeObject {
    const { object } = this;
    return object.metadata === undefined ? { ...object } : { ...object, metadata: withoutManaged(object.metadata) };
  }

  /** The same state under the version of its deletion. */
  atVersion(rv: bigint): CachedObject {
    return new CachedObject(this.kind, this.namespace, this.name, rv, respliceVersion(this.kind, this.json, rv));
  }

  /** Another state of it, which is not stored, as `kind` has it. */
  changedTo(kind: KindDefinition, object: KubeObject, rv: bigint): CachedObject {
    const { namespace, name } = this;
    return new CachedObject(kind, namespace, name, rv, spliceVersion(kind, encodeStored(kind, object), rv));
  }

  #retain(object: KubeObject): void {
    this.#object = object;
    const evicted = ring[ringAt];
    if (evicted !== undefined) evicted.#object = undefined;
    ring[ringAt] = this;
    ringAt = (ringAt + 1) % RETAINED;
  }
}

/** Leaves the member alone, which is made when it is looked at. */
function withoutManaged(metadata: ObjectMeta): ObjectMeta {
  const copy: Record<string, unknown> = {};
  for (const key of Object.keys(metadata)) {
    if (key !== "managedFields") setOwn(copy, key, metadata[key as keyof ObjectMeta]);
  }
  return copy;
}
