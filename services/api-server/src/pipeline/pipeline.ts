// The request pipeline: authorize, then hand the request to reads, watches, the registry or a subresource. Every error that
// leaves it is a StatusError.
import type { Binding, Eviction, KindDefinition } from "@coxswain/api";
import { kindFor, kindForGvk, storedKindOf } from "@coxswain/api/scheme";
import { patchSchemaFor } from "@coxswain/api/schema/index";
import { FailpointError, isAbort, type Env } from "@coxswain/env";
import {
  groupResource,
  isReason,
  newBadRequest,
  newInternalError,
  newInvalid,
  newMethodNotSupported,
  newNotFound,
  newUnsupportedMediaType,
  parseApiVersion,
  StatusError,
  type KubeObject,
  type PatchSchema,
  type Status,
} from "@coxswain/apimachinery";
import { prepareNamespaceFinalize, validateNamespaceFinalize } from "@coxswain/api/core-v1/namespace/namespace";
import type { Logger } from "@coxswain/component-base";
import type { Storage } from "@coxswain/storage";
import type { AdmissionChain } from "../admission/chain.ts";
import { demand } from "../auth/demand.ts";
import { acceptObject, acceptPatched, decodeCreated, decodeObject, type CreatedObject } from "../registry/codec.ts";
import { applyAnew, APPLY_TYPE, applyOver, decodeConfiguration, parentOfScale } from "../registry/apply.ts";
import { decodeDeleteOptions } from "../registry/delete-options.ts";
import { checkIdentity, requireNamespace } from "../registry/metadata.ts";
import { decodePatch, PATCH_TYPES } from "../registry/patch.ts";
import type { KindSource } from "../extensions/kind-source.ts";
import type { Registry, UpdateRules } from "../registry/registry.ts";
import { listComponents, readComponent } from "../registry/component-statuses.ts";
import { deletionOptions, writeContext, type WriteContext } from "../registry/write-context.ts";
import { applyBinding } from "../subresources/binding.ts";
import { allowEviction } from "../subresources/eviction.ts";
import { EPHEMERAL_CONTAINERS_RULES } from "../subresources/ephemeral-containers.ts";
import { RESIZE_RULES } from "../subresources/pod-resize.ts";
import { applyScale, SCALE_REF, scaleOf, setScale } from "../subresources/scale.ts";
import type { CachedObject } from "../watch-cache/cached-object.ts";
import { readList, readObject } from "../watch-cache/reads.ts";
import { startWatch } from "../watch-cache/watches.ts";
import type { WatchCache } from "../watch-cache/watch-cache.ts";
import type { ApiRequest, ApiResult, Authorizer, Pipeline, WatchSink } from "./contract.ts";
import type { AdmissionAttributes, AdmissionOperation, PipelineExtensions } from "./extension.ts";
import { methodNotAllowed, resourceNotFound } from "./not-served.ts";
import { hasSubresource, misplaced } from "./scope.ts";
import { requestedName, selectionOf } from "./selection.ts";

export interface PipelineDeps {
  readonly env: Env;
  readonly logger: Logger;
  readonly storage: Storage;
  readonly cache: WatchCache;
  readonly kinds: KindSource;
  readonly registry: Registry;
  readonly admission: AdmissionChain;
  readonly authorizer: Authorizer | undefined;
  readonly review: PipelineExtensions["review"];
  readonly issueToken: PipelineExtensions["issueToken"];
  readonly components: PipelineExtensions["components"];
}

const MAX_APPLY_ATTEMPTS = 5;
/** Subresources that are ways of their own to change a pod. */
const POD_RULES: Readonly<Record<string, UpdateRules>> = {
  "pods/ephemeralcontainers": EPHEMERAL_CONTAINERS_RULES,
  "pods/resize": RESIZE_RULES,
};

export function createPipeline(deps: PipelineDeps): Pipeline {
  const dispatcher = new Dispatcher(deps);
  return {
    async handle(request) {
      try {
        return await dispatcher.handle(request);
      } catch (error) {
        throw asStatusError(deps.logger, request, error);
      }
    },
    async watch(request, sink) {
      try {
        return await dispatcher.watch(request, sink);
      } catch (error) {
        throw asStatusError(deps.logger, request, error);
      }
    },
    async connect(request, options) {
      try {
        await dispatcher.connect(request, options);
      } catch (error) {
        throw asStatusError(deps.logger, request, error);
      }
    },
  };
}

/** Errors that are not of the API become InternalError, and are logged, because they are defects or injected. */
function asStatusError(logger: Logger, request: ApiRequest, error: unknown): StatusError {
  if (error instanceof StatusError) {
    const wait = error.reason === "ServiceUnavailable" && error.details.retryAfterSeconds === undefined;
    if (!wait) return error;
    const details = { ...error.details, retryAfterSeconds: 1 };
    return new StatusError(error.reason, error.code, error.message, details, { cause: error });
  }
  if (isAbort(error))
    return new StatusError("Timeout", 504, "Timeout: request did not complete within the allotted time");
  if (!(error instanceof FailpointError)) {
    const stack = error instanceof Error ? error.stack : String(error);
    logger.error({ verb: request.verb, resource: groupResource(request), name: request.name, stack }, "request failed");
  }
  return newInternalError(error);
}

class Dispatcher {
  readonly #deps: PipelineDeps;

  constructor(deps: PipelineDeps) {
    this.#deps = deps;
  }

  /** Throws or rejects. */
  handle(request: ApiRequest): Promise<ApiResult> {
    const pending = this.#authorize(request, request.verb);
    return pending === undefined ? this.#answer(request) : pending.then(() => this.#answer(request));
  }

  #answer(request: ApiRequest): Promise<ApiResult> {
    const kind = this.#kind(request);
    if (request.subresource !== "" && request.subresource !== "status") return this.#subresource(request, kind);
    if (!kind.stored) return this.#document(request, kind);
    this.#requireVerb(request, kind);
    if (kind.kind === "ComponentStatus" && kind.group === "") return this.#components(request, kind);
    switch (request.verb) {
      case "get":
        return this.#get(request, kind);
      case "list":
        return this.#list(request, kind);
      case "create":
        return this.#create(request, kind);
      case "update":
        return this.#update(request, kind);
      case "patch":
        return this.#patch(request, kind);
      case "delete":
        return this.#delete(request, kind);
      case "deletecollection":
        return this.#deleteCollection(request, kind);
      case "watch":
        throw newBadRequest("a watch is not a single answer");
      default:
        throw unsupported(kind, request.verb);
    }
  }

  async watch(request: ApiRequest, sink: WatchSink): Promise<{ readonly kind: KindDefinition }> {
    await this.#authorize(request, "watch");
    const kind = this.#kind(request);
    if (!kind.verbs.includes("watch") || request.subresource !== "") throw unsupported(kind, "watch");
    const selection = selectionOf(request, kind);
    await startWatch(this.#deps, { kind, selection, options: request.options, signal: request.signal }, sink);
    return { kind };
  }

  async connect(request: ApiRequest, options: KubeObject): Promise<void> {
    await this.#authorize(request, request.verb);
    const kind = this.#kind(request);
    await this.#ask(writeContext(request, kind), "CONNECT", options);
  }

  /** Asks admission about an object that is not stored under the resource; it may be changed. */
  async #ask(
    context: WriteContext,
    operation: AdmissionOperation,
    object: KubeObject,
    old?: KubeObject,
  ): Promise<void> {
    await this.#deps.admission.ask(attributesOf(context, operation, object, old));
  }

  #kind(request: ApiRequest): KindDefinition {
    const kind = this.#deps.kinds.kindFor(request);
    if (kind === undefined || !hasSubresource(kind, request.subresource)) throw resourceNotFound();
    const wrongPlace = misplaced(kind, request);
    if (wrongPlace !== undefined) throw wrongPlace;
    return kind;
  }

  #requireVerb(request: ApiRequest, kind: KindDefinition): void {
    const verbs: readonly string[] = request.subresource === "status" ? ["get", "update", "patch"] : kind.verbs;
    if (!verbs.includes(request.verb)) throw unsupported(kind, request.verb);
  }

  /** Throws, or rejects with, StatusError. */
  #authorize(request: ApiRequest, verb: string): void | Promise<void> {
    const { user, group, version, resource, subresource, namespace } = request;
    const name = requestedName(request);
    const { labelSelector, fieldSelector } = request.options;
    const selected = {
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
    };
    const attributes = { user, verb, group, version, resource, subresource, namespace, name, ...selected };
    const { authorizer } = this.#deps;
    return authorizer === undefined ? undefined : demand(authorizer, attributes, request.annotate, request);
  }

  async #get(request: ApiRequest, kind: KindDefinition): Promise<ApiResult> {
    const { name, options } = request;
    const namespace = kind.namespaced ? request.namespace : "";
    const object = await readObject(this.#deps, kind, namespace, name, options.resourceVersion, request);
    return { type: "object", code: 200, kind, object, warnings: [] };
  }

  #list(request: ApiRequest, kind: KindDefinition): Promise<ApiResult> {
    const selection = selectionOf(request, kind);
    const countable = selection.matches === undefined && selection.name === undefined;
    return readList(this.#deps, { kind, selection, countable, options: request.options, asker: request });
  }

  async #components(request: ApiRequest, kind: KindDefinition): Promise<ApiResult> {
    const probes = this.#deps.components ?? new Map();
    if (request.verb === "list") return await listComponents(probes, kind, request);
    return { type: "object", code: 200, kind, object: await readComponent(probes, kind, request), warnings: [] };
  }

  async #create(request: ApiRequest, kind: KindDefinition): Promise<ApiResult> {
    const context = writeContext(request, kind);
    const decode = (): CreatedObject => decodeCreated(targetOf(context, kind), request.body, request.contentType);
    const { object: body, template } = decode();
    const object = await this.#deps.registry.create(context, body, { template, again: () => decode().object });
    return { type: "object", code: 201, kind, object, warnings: context.warnings };
  }

  async #update(request: ApiRequest, kind: KindDefinition, rules: UpdateRules = {}): Promise<ApiResult> {
    const context = writeContext(request, kind);
    const decode = (): KubeObject => decodeObject(targetOf(context, kind), request.body, request.contentType);
    let first: KubeObject | undefined = decode();
    const meta = (first.metadata ??= {});
    checkIdentity(context, meta);
    const expected: UpdateRules = meta.uid ? { ...rules, uid: meta.uid } : rules;
    // The body is parsed once; again only where the update is decided again.
    const produce = (): KubeObject => {
      const object = first ?? decode();
      first = undefined;
      return object;
    };
    const createsAbsent = kind.strategy.allowCreateOnUpdate && request.subresource === "";
    const absent = createsAbsent
      ? async (): Promise<CachedObject> => {
          await this.#authorize(request, "create");
          const object = decode();
          if (object.metadata?.name !== request.name) throw newNotFound(storedKindOf(kind), request.name);
          return await this.#deps.registry.create(context, object);
        }
      : undefined;
    const { object, created } = await this.#deps.registry.update(context, produce, expected, absent);
    return { type: "object", code: created ? 201 : 200, kind, object, warnings: context.warnings };
  }

  async #patch(request: ApiRequest, kind: KindDefinition, rules: UpdateRules = {}): Promise<ApiResult> {
    if (request.contentType === APPLY_TYPE) return await this.#apply(request, kind, rules);
    const context = writeContext(request, kind);
    const patch = decodePatch(request.contentType, request.body, () => strategicSchema(kind));
    // Who manages what stays as it is where a patch does not speak of it; where it may, it gets sets of its own to change.
    const bytes = request.body ?? Buffer.alloc(0);
    const managed = bytes.includes("managedFields") || bytes.includes("\\u");
    const target = { ...targetOf(context, kind), patch };
    const produce = (old: CachedObject): KubeObject => {
      if (managed) return acceptObject(target, patch.apply(structuredClone(old.copy())), patch.duplicates);
      if (kind.sharesState !== true) return acceptObject(target, patch.apply(old.unmanaged()), patch.duplicates);
      const putsBack = context.subresource === "status";
      return acceptPatched(target, patch.apply(old.draft()), patch.duplicates, old.object, putsBack);
    };
    const { object } = await this.#deps.registry.update(context, produce, rules);
    return { type: "object", code: 200, kind, object, warnings: context.warnings };
  }

  /** Server-side apply: creates what is absent. */
  async #apply(request: ApiRequest, kind: KindDefinition, rules: UpdateRules): Promise<ApiResult> {
    const context = writeContext(request, kind);
    const config = decodeConfiguration(context, kind);
    const { registry, env } = this.#deps;
    const produce = (old: CachedObject): KubeObject => applyOver(context, config, old, env.clock.now());
    const absent = async (): Promise<CachedObject> => {
      await this.#authorize(request, "create");
      return await registry.create(context, applyAnew(context, config, env.clock.now()), { applied: true });
    };
    for (let attempt = 1; ; attempt++) {
      try {
        const creates = request.subresource === "" && kind.verbs.includes("create") ? absent : undefined;
        const outcome = await registry.update(context, produce, { ...rules, applied: true }, creates);
        const { object, created } = outcome;
        return { type: "object", code: created ? 201 : 200, kind, object, warnings: context.warnings };
      } catch (error) {
        // Somebody created it in between: then there is something to apply to.
        if (!isReason(error, "AlreadyExists") || attempt >= MAX_APPLY_ATTEMPTS) throw error;
      }
    }
  }

  async #delete(request: ApiRequest, kind: KindDefinition): Promise<ApiResult> {
    const options = deletionOptions(request, decodeDeleteOptions(request));
    const context = { ...writeContext(request, kind), dryRun: options.dryRun };
    const { object, removed } = await this.#deps.registry.delete(context, options);
    const { warnings } = context;
    if (!removed) return { type: "object", code: options.codeWhereKept, kind, object, warnings };
    if (kind.returnDeletedObject === true) return { type: "object", code: 200, kind, object, warnings };
    const { group, resource } = storedKindOf(kind);
    const details: Status["details"] = { name: request.name, kind: resource, uid: object.object.metadata?.uid };
    if (group !== "") details.group = group;
    const status: Status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", details };
    return { type: "status", code: 200, status, warnings };
  }

  async #deleteCollection(request: ApiRequest, kind: KindDefinition): Promise<ApiResult> {
    const options = deletionOptions(request, decodeDeleteOptions(request));
    const listed = (await this.#list(request, kind)) as Extract<ApiResult, { type: "list" }>;
    const context = { ...writeContext(request, kind), dryRun: options.dryRun };
    for (const item of listed.items) {
      const one = { ...context, namespace: item.namespace, name: item.name };
      try {
        await this.#deps.registry.delete(one, options);
      } catch (error) {
        // Somebody else was faster: gone is gone.
        if (!(error instanceof StatusError && error.reason === "NotFound")) throw error;
      }
    }
    return listed;
  }

  /** Kinds that are answered and not stored. */
  async #document(request: ApiRequest, kind: KindDefinition): Promise<ApiResult> {
    if (request.verb !== "create" || !kind.verbs.includes("create")) throw unsupported(kind, request.verb);
    const context = writeContext(request, kind);
    const body = decodeObject(targetOf(context, kind), request.body, request.contentType);
    if (kind.group === "" && kind.resource === "bindings") {
      const name = body.metadata?.name ?? "";
      const pods = kindFor({ group: "", version: "v1", resource: "pods" })!;
      const bound = { ...request, signal: request.signal, resource: "pods", subresource: "binding", name };
      return await this.#bind(bound, pods, body as Binding, { ...context, name });
    }
    if (this.#deps.review === undefined) throw unsupported(kind, request.verb);
    await this.#ask({ ...context, name: body.metadata?.name ?? "" }, "CREATE", body);
    const document = await this.#deps.review({ request, kind, body, parent: undefined });
    return { type: "document", code: 201, document, kind, warnings: context.warnings };
  }

  async #subresource(request: ApiRequest, kind: KindDefinition): Promise<ApiResult> {
    const id = `${groupResource(kind)}/${request.subresource}`;
    if (request.subresource === "scale") return await this.#scale(request, kind);
    const definition = kind.subresources.find((each) => each.name === request.subresource)!;
    if (!definition.verbs.includes(request.verb)) {
      throw unsupported(kind, request.verb);
    }
    const rules = POD_RULES[id] ?? definition.rules;
    if (rules !== undefined) {
      if (request.verb === "get") return await this.#get(request, kind);
      const change = request.verb === "patch" ? this.#patch.bind(this) : this.#update.bind(this);
      return await change(request, kind, rules);
    }
    if (id === "namespaces/finalize") return await this.#finalize(request, kind);
    const document = kindForGvk(definition);
    if (document === undefined) throw unsupported(kind, request.verb);
    const context = writeContext(request, document);
    const body = decodeObject(targetOf(context, document), request.body, request.contentType);
    requireNamespace({ ...context, kind }, (body.metadata ??= {}));
    if (id === "pods/binding") return await this.#bind(request, kind, body as Binding, writeContext(request, kind));
    if (id === "pods/eviction") return await this.#evict(request, kind, body);
    if (id === "serviceaccounts/token" && this.#deps.issueToken !== undefined) {
      const parent = await readObject(this.#deps, kind, request.namespace, request.name, undefined, request);
      const attributes = attributesOf({ ...context, kind }, "CREATE", body);
      await this.#deps.admission.askToChange(attributes);
      await this.#deps.admission.validate(attributes);
      const answer = await this.#deps.issueToken({ request, kind: document, body, parent });
      return { type: "document", code: 201, document: answer, kind: document, warnings: context.warnings };
    }
    throw unsupported(kind, request.verb);
  }

  /** `asked` is the request as admission sees it: bindings have a path of their own, too. */
  async #bind(request: ApiRequest, kind: KindDefinition, body: Binding, asked: WriteContext): Promise<ApiResult> {
    const context = { ...writeContext(request, kind), name: request.name, subresource: "binding" };
    const bindings = kindFor({ group: "", version: "v1", resource: "bindings" })!;
    const binding = { ...body, apiVersion: "v1", kind: "Binding" };
    if ((binding.metadata?.name ?? "") !== request.name) {
      throw newBadRequest("name in URL does not match name in Binding object");
    }
    const errors = bindings.validateCreate(binding);
    if (errors.length > 0) throw newInvalid(bindings, request.name, errors);
    await this.#ask(asked, "CREATE", binding);
    const rules: UpdateRules = { prepare: bumpNothing, validate: () => [], asked: true };
    const nowMs = this.#deps.env.clock.now();
    await this.#deps.registry.update(context, (old) => applyBinding(old, binding, nowMs), rules);
    return created(asked.warnings);
  }

  async #evict(request: ApiRequest, kind: KindDefinition, eviction: Eviction): Promise<ApiResult> {
    if ((eviction.metadata?.name ?? "") !== request.name) {
      throw newBadRequest("name in URL does not match name in Eviction object");
    }
    const options = deletionOptions(request, eviction.deleteOptions);
    const context = { ...writeContext(request, kind), dryRun: options.dryRun };
    const deps = { handle: this.handle.bind(this), now: () => this.#deps.env.clock.now() };
    const versioned = options.preconditions?.resourceVersion !== undefined;
    await this.#ask(context, "CREATE", { ...eviction, apiVersion: "policy/v1", kind: "Eviction" });
    await allowEviction(deps, { request, dryRun: options.dryRun, versioned });
    await this.#deps.registry.delete(context, options, { asked: true });
    return created(context.warnings);
  }

  async #finalize(request: ApiRequest, kind: KindDefinition): Promise<ApiResult> {
    const context = writeContext(request, kind);
    const produce = (): KubeObject => decodeObject(targetOf(context, kind), request.body, request.contentType);
    const rules: UpdateRules = { prepare: prepareNamespaceFinalize, validate: validateNamespaceFinalize };
    const { object } = await this.#deps.registry.update(context, produce, rules);
    return { type: "object", code: 200, kind, object, warnings: context.warnings };
  }

  async #scale(request: ApiRequest, kind: KindDefinition): Promise<ApiResult> {
    const scaleKind = kindFor(SCALE_REF)!;
    const { namespace, name } = request;
    const answer = (object: CachedObject, warnings: readonly string[]): ApiResult => ({
      type: "document",
      code: 200,
      document: scaleOf(kind, object.object),
      kind: scaleKind,
      warnings,
    });
    if (request.verb === "get") {
      return answer(await readObject(this.#deps, kind, namespace, name, request.options.resourceVersion, request), []);
    }
    if (request.verb !== "update" && request.verb !== "patch") throw unsupported(kind, request.verb);
    const context = writeContext({ ...request, signal: request.signal, subresource: "scale" }, kind);
    if (request.contentType === APPLY_TYPE) {
      const config = parentOfScale(kind, decodeConfiguration(context, scaleKind));
      const produce = async (old: CachedObject): Promise<KubeObject> => {
        const next = applyOver(context, config, old, this.#deps.env.clock.now());
        const scale = scaleOf(kind, next);
        await this.#ask(context, "UPDATE", scale, scaleOf(kind, old.object));
        return setScale(kind, next, scale);
      };
      const { object } = await this.#deps.registry.update(context, produce, { applied: true, asked: true });
      return answer(object, context.warnings);
    }
    const patch =
      request.verb === "patch"
        ? decodePatch(request.contentType, request.body, () => strategicSchema(kind, scaleKind))
        : undefined;
    const target = { ...targetOf(context, scaleKind), ...(patch === undefined ? {} : { patch }) };
    const desired = (old: CachedObject): KubeObject => {
      const scale =
        patch === undefined
          ? decodeObject(target, request.body, request.contentType)
          : acceptObject(target, patch.apply(structuredClone(scaleOf(kind, old.object))), patch.duplicates);
      checkIdentity(context, (scale.metadata ??= {}));
      return scale;
    };
    const produce = async (old: CachedObject): Promise<KubeObject> => {
      const scale = desired(old);
      await this.#ask(context, "UPDATE", scale, scaleOf(kind, old.object));
      return applyScale(kind, old, scale);
    };
    const { object } = await this.#deps.registry.update(context, produce, { asked: true });
    return answer(object, context.warnings);
  }
}

/** Of an object that has a kind of its own. */
function attributesOf(
  context: WriteContext,
  operation: AdmissionOperation,
  object: KubeObject,
  old?: KubeObject,
): AdmissionAttributes {
  const { request, kind, namespace, name, subresource, dryRun, warnings } = context;
  const objectKind = { ...parseApiVersion(object.apiVersion ?? ""), kind: object.kind ?? "" };
  const warn = (text: string): void => void (warnings.includes(text) || warnings.push(text));
  const annotate = request.annotate === undefined ? {} : { annotate: request.annotate };
  return { request, kind, namespace, name, subresource, dryRun, operation, object, old, objectKind, warn, ...annotate };
}

function targetOf(context: WriteContext, kind: KindDefinition): Parameters<typeof decodeObject>[0] {
  return { kind, fieldValidation: context.fieldValidation, warnings: context.warnings };
}

/** Strategic merge needs patch rules, which custom resources do not have. */
function strategicSchema(kind: KindDefinition, body = kind): PatchSchema {
  if (kind.custom === undefined) return patchSchemaFor(body.schemaName);
  throw newUnsupportedMediaType(PATCH_TYPES.filter((type) => !type.includes("strategic")));
}

/** Paths of built-in kinds have the methods that they have; those of custom ones take any and refuse some. */
function unsupported(kind: KindDefinition, verb: string): StatusError {
  return kind.custom === undefined ? methodNotAllowed() : newMethodNotSupported(kind, verb);
}

function bumpNothing(): void {
  // A binding changes what it changes; the kind's own preparation would take the node away again.
}

function created(warnings: readonly string[]): ApiResult {
  const status: Status = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Success", code: 201 };
  return { type: "status", code: 201, status, warnings };
}
