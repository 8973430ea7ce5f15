// The metadata rules that hold for every kind: what the system fills in, what a writer cannot change.
import { storedKindOf } from "@coxswain/api/scheme";
import {
  deepEqual,
  fieldInvalid,
  formatTime,
  newBadRequest,
  newConflict,
  newInvalid,
  parseResourceVersion,
  StatusError,
  type KubeObject,
  type ObjectMeta,
  type OwnerReference,
} from "@coxswain/apimachinery";
import type { Env } from "@coxswain/env";
import type { CachedObject } from "../watch-cache/cached-object.ts";
import { storageKey } from "../watch-cache/stored-form.ts";
import type { WriteContext } from "./write-context.ts";

/** Leaves room for the suffix within 63 characters. */
const MAX_GENERATED_BASE = 58;

/** An object without a namespace gets that of the request; one of a kind that lies in none loses its own, as charts name one. */
export function requireNamespace(context: WriteContext, meta: ObjectMeta): void {
  if (!context.kind.namespaced) {
    delete meta.namespace;
    return;
  }
  if (!meta.namespace) meta.namespace = context.namespace;
  if (meta.namespace !== context.namespace) {
    throw newBadRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
}

/** Takes out owners that are named twice in the same words, and says so. */
function dropRepeatedOwners({ request, warnings }: WriteContext, meta: ObjectMeta): void {
  const owners = meta.ownerReferences;
  if (owners === undefined || owners.length < 2) return;
  const isRepeated = (owner: OwnerReference, index: number): boolean =>
    owners.slice(0, index).some((other) => deepEqual(other, owner));
  const repeated = owners.filter(isRepeated);
  if (repeated.length === 0) return;
  meta.ownerReferences = owners.filter((owner, index) => !isRepeated(owner, index));
  // Upstream looks at what is patched only once admission is through.
  const when = request.verb === "patch" ? " after mutating admission happens" : "";
  const uids = repeated.map(({ uid }) => uid).join(", ");
  const warning = `.metadata.ownerReferences contains duplicate entries${when}; API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: ${uids}`;
  if (!warnings.includes(warning)) warnings.push(warning);
}

/** Fills in what a new object gets from the system; a name from generateName where none was given. */
export function fillForCreate(env: Env, context: WriteContext, object: KubeObject): void {
  const meta = (object.metadata ??= {});
  requireNamespace(context, meta);
  dropRepeatedOwners(context, meta);
  // What is none, as that of a dry run's answer, stands for nothing.
  if ((parseResourceVersion(meta.resourceVersion ?? "") ?? 0n) === 0n) delete meta.resourceVersion;
  delete meta.deletionTimestamp;
  delete meta.deletionGracePeriodSeconds;
  delete meta.selfLink;
  meta.uid = env.random.uuid();
  meta.creationTimestamp = formatTime(env.clock.now());
  if (!meta.name && meta.generateName) {
    meta.name = meta.generateName.slice(0, MAX_GENERATED_BASE) + env.random.nameSuffix(5);
  }
}

/**
 * The last thing that is looked at, as upstream's storage does it: admission has its say before.
 * @throws StatusError
 */
export function requireNoVersion(object: KubeObject): void {
  // What is no version at all is taken, and replaced by the one that the object gets.
  const { metadata } = object;
  if (metadata?.resourceVersion === undefined) return;
  if (!/^0*[1-9]\d*$/.test(metadata.resourceVersion)) {
    delete metadata.resourceVersion;
    return;
  }
  // Upstream has these words under code 500, which here means a defect of the server alone.
  throw new StatusError("Unknown", 400, "resourceVersion should not be set on objects to be created");
}

/** Who names the object that is meant by its uid is told that there is another, or none any more (undefined). */
export function otherObject(context: WriteContext, wanted: string, actual: string | undefined): StatusError {
  const { kind, namespace, name } = context;
  return newConflict(
    storedKindOf(kind),
    name,
    `StorageError: invalid object, Code: 4, Key: ${storageKey(kind, namespace, name)}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: ${wanted}, UID in object meta: ${actual ?? ""}`,
  );
}

/**
 * Checks identity and version of an update against `old`, and carries over what only the system writes. `meant`: the uid of the
 * object that is to be replaced; another one that a patch writes would change it.
 */
export function fillForUpdate(context: WriteContext, object: KubeObject, old: CachedObject, meant?: string): void {
  const { kind, name } = context;
  const meta = (object.metadata ??= {});
  const before = old.object.metadata!;
  checkIdentity(context, meta);
  dropRepeatedOwners(context, meta);
  if (meant && meant !== before.uid) throw otherObject(context, meant, before.uid);
  if (meta.uid && meta.uid !== before.uid) {
    throw newInvalid(storedKindOf(kind), name, [fieldInvalid("metadata.uid", meta.uid, "field is immutable")]);
  }
  const version = meta.resourceVersion ?? "";
  if (version === "" || version === "0") {
    if (!kind.strategy.allowUnconditionalUpdate) {
      throw newInvalid(storedKindOf(kind), name, [
        {
          type: "FieldValueInvalid",
          field: "metadata.resourceVersion",
          detail: "Invalid value: 0x0: must be specified for an update",
        },
      ]);
    }
  } else if (version !== before.resourceVersion) throw newConflict(storedKindOf(kind), name);
  meta.uid = before.uid;
  meta.resourceVersion = before.resourceVersion;
  // Clients write the time in other forms than they read it: whatever they say of it is passed over.
  carry(meta, before, "creationTimestamp");
  // What else is left out stays; what is said otherwise, validation refuses.
  if (before.deletionTimestamp !== undefined) carry(meta, before, "deletionTimestamp");
  if (meta.deletionGracePeriodSeconds === undefined) carry(meta, before, "deletionGracePeriodSeconds");
  carry(meta, before, "generation");
  delete meta.selfLink;
}

function carry(meta: ObjectMeta, before: ObjectMeta, key: keyof ObjectMeta): void {
  if (before[key] === undefined) delete meta[key];
  else Object.assign(meta, { [key]: before[key] });
}

/** The body of an update speaks of the object that the URL names. */
export function checkIdentity(context: WriteContext, meta: ObjectMeta): void {
  const { kind, name, namespace } = context;
  if (!meta.name) {
    throw newBadRequest(`the name of the object (${name} based on URL) was undeterminable: name must be provided`);
  }
  if (meta.name !== name) {
    throw newBadRequest(`the name of the object (${meta.name}) does not match the name on the URL (${name})`);
  }
  if (!kind.namespaced) {
    delete meta.namespace;
    return;
  }
  if (!meta.namespace) meta.namespace = namespace;
  if (meta.namespace !== namespace) {
    throw newBadRequest(
      `the namespace of the object (${meta.namespace}) does not match the namespace on the request (${namespace})`,
    );
  }
}
