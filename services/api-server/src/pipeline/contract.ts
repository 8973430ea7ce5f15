// The one request pipeline behind REST, gRPC and the in-process client:
// (authenticated by the front) → authorize → decode → mutate → default → validate → admit → store → result.
// Fronts translate wire forms; they take no decisions.
import type { KubeObject, Status } from "@coxswain/apimachinery";
import type { KindDefinition } from "@coxswain/api";
import type { UserInfo } from "@coxswain/component-base";
import type { Fence } from "@coxswain/client";

export type RequestVerb = "get" | "list" | "watch" | "create" | "update" | "patch" | "delete" | "deletecollection";

/** Query parameters, still as text where validation of them belongs to the pipeline. Absent means not given. */
export interface RequestOptions {
  readonly dryRun?: readonly string[];
  readonly fieldManager?: string;
  /** Of an apply: "true" takes over what others own. */
  readonly force?: string;
  readonly fieldValidation?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion?: string;
  readonly resourceVersionMatch?: string;
  readonly limit?: string;
  readonly continue?: string;
  readonly allowWatchBookmarks?: boolean;
  readonly sendInitialEvents?: string;
  readonly timeoutSeconds?: string;
  readonly gracePeriodSeconds?: string;
  readonly propagationPolicy?: string;
  /** The older form of propagationPolicy. */
  readonly orphanDependents?: boolean;
}

export interface ApiRequest {
  readonly user: UserInfo;
  readonly verb: RequestVerb;
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** The object, patch or DeleteOptions, as sent. */
  readonly body?: Buffer | undefined;
  /** Media type of `body` without parameters: JSON, YAML, Kubernetes protobuf or a patch type. */
  readonly contentType?: string | undefined;
  readonly options: RequestOptions;
  readonly fence?: Fence;
  readonly userAgent?: string | undefined;
  /** Says something about the request in the audit log; absent where none is kept of it. */
  readonly annotate?: ((key: string, value: string) => void) | undefined;
  /** What the caller is to be told besides the answer, be it a refusal; filled while the request is handled. */
  readonly warnings?: string[];
  /** Made when it is asked for, where few ask: a copy of the request has to name it. */
  readonly signal: AbortSignal;
}

/** An object at one version, as bytes first: parsed only when somebody asks. */
export interface VersionedObject {
  readonly namespace: string;
  readonly name: string;
  readonly rv: bigint;
  /** JSON of the served version with metadata.resourceVersion in place. Made once, shared: never change it. */
  readonly json: Buffer;
  /** Parsed once, shared and frozen by convention. */
  readonly object: KubeObject;
}

export type ApiResult =
  | {
      readonly type: "object";
      readonly code: 200 | 201 | 202;
      readonly kind: KindDefinition;
      readonly object: VersionedObject;
      readonly warnings: readonly string[];
    }
  /** An answer that is not a stored object: reviews, token requests, bindings, scales. */
  | {
      readonly type: "document";
      readonly code: 200 | 201;
      readonly document: KubeObject;
      readonly kind?: KindDefinition;
      readonly warnings: readonly string[];
    }
  | { readonly type: "status"; readonly code: number; readonly status: Status; readonly warnings: readonly string[] }
  | {
      readonly type: "list";
      readonly kind: KindDefinition;
      readonly items: readonly VersionedObject[];
      readonly resourceVersion: string;
      readonly continue: string;
      readonly remainingItemCount: number | undefined;
    };

export interface PipelineWatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  /** For BOOKMARK: an object with only kind, apiVersion and metadata.resourceVersion (and annotations). */
  readonly object: VersionedObject;
}

export interface WatchSink {
  /** The events of one tick, in order. Returns false where the reader is so slow that it should be dropped. */
  send(events: readonly PipelineWatchEvent[]): boolean;
  /** The stream is over: quietly (undefined), or with the Status to send as an ERROR event first. */
  end(error: Status | undefined): void;
}

export interface Pipeline {
  /** Everything but watch. Rejects with StatusError. */
  handle(request: ApiRequest): Promise<ApiResult>;
  /** Rejects with StatusError before the first event, else streams into `sink` until it ends or `request.signal` aborts. */
  watch(request: ApiRequest, sink: WatchSink): Promise<{ readonly kind: KindDefinition }>;
  /** Authorizes a connection and asks admission about it; `options` are what it is asked for with. Rejects with StatusError. */
  connect(request: ApiRequest, options: KubeObject): Promise<void>;
}

/** https://kubernetes.io/docs/reference/access-authn-authz/authorization/#review-your-request-attributes */
export interface AuthorizationAttributes {
  readonly user: UserInfo;
  readonly verb: string;
  readonly group: string;
  readonly version?: string;
  readonly resource: string;
  readonly subresource: string;
  readonly namespace: string;
  readonly name: string;
  /** Of a list, a watch or the deletion of a collection. */
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Set for non-resource requests; the resource fields are then empty. */
  readonly path?: string;
}

export interface AuthorizationDecision {
  readonly allowed: boolean;
  /** True where an authorizer forbade it; otherwise what is not allowed has merely found nobody to allow it. */
  readonly denied?: boolean;
  /** What the authorizers say of it; "" for nothing. Who asks for what is not part of it. */
  readonly reason: string;
  /** Why an authorizer could not say. */
  readonly error?: string;
}

/** Who waits for an answer: its signal aborts where they are gone, and whoever was asked for them is then asked no more. */
export interface Asker {
  readonly signal: AbortSignal;
}

export interface Authorizer {
  /** At once where nobody outside of the process has to be asked. Never rejects. */
  authorize(attributes: AuthorizationAttributes, asker?: Asker): AuthorizationDecision | Promise<AuthorizationDecision>;
}

export interface Credentials {
  /** DER of a client certificate that TLS has verified against the cluster CA. */
  readonly certificate?: Buffer;
  readonly bearerToken?: string;
}

export interface Authenticator {
  /**
   * Rejects with StatusError Unauthorized for credentials that are present and bad; system:anonymous for none, where the path,
   * which HTTP requests have, may be asked for so. At once where nobody has to be asked.
   */
  authenticate(credentials: Credentials, path?: string): UserInfo | Promise<UserInfo>;
}
