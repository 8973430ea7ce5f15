// What the api-server's parts offer each other besides the pipeline itself: read access to the watch cache, and the
// places where authorization, reviews, tokens and further admission are plugged in.
import type { KindDefinition } from "@coxswain/api";
import type { GroupVersionKind, KubeObject, ResourceRef } from "@coxswain/apimachinery";
import type { Reinvocation } from "../admission/reinvocation.ts";
import type { ComponentProbes } from "../registry/component-statuses.ts";
import type { ApiRequest, Authorizer, VersionedObject } from "./contract.ts";

/** The present objects of this process's watch cache; never waits, may be a moment old. */
export interface ObjectSource {
  get(ref: Pick<ResourceRef, "group" | "resource">, namespace: string, name: string): VersionedObject | undefined;
  list(ref: Pick<ResourceRef, "group" | "resource">, namespace?: string): readonly VersionedObject[];
  /** Called after each tick in which an object of the resource changed; returns the way to stop. */
  onChange(ref: Pick<ResourceRef, "group" | "resource">, listener: () => void): () => void;
  /** How many objects of the resource there are. */
  count?(ref: Pick<ResourceRef, "group" | "resource">): number;
  /** Resolves when it shows all that was committed before the call. */
  consistent?(): Promise<void>;
}

export type AdmissionOperation = "CREATE" | "UPDATE" | "DELETE" | "CONNECT";

/** What an admission plugin sees. `object` is absent for DELETE, `old` for CREATE. */
export interface AdmissionAttributes {
  readonly request: ApiRequest;
  readonly kind: KindDefinition;
  readonly operation: AdmissionOperation;
  readonly namespace: string;
  /** May be empty for a create with generateName. */
  readonly name: string;
  readonly subresource: string;
  readonly object: KubeObject | undefined;
  readonly old: KubeObject | undefined;
  readonly dryRun: boolean;
  /** Where the object is not of `kind`: what a connection, binding or eviction is asked for with. */
  readonly objectKind?: GroupVersionKind;
  /** Tells the caller something in a Warning header. */
  readonly warn?: (text: string) => void;
  /** Says something about the request in the audit log. */
  readonly annotate?: (key: string, value: string) => void;
  /** Set while plugins may change the object: what they keep from one round of the chain to the next. */
  readonly reinvocation?: Reinvocation;
}

/** https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/ */
export interface AdmissionPlugin {
  readonly name: string;
  /** Asked about connections, bindings and evictions too. */
  readonly dynamic?: true;
  /** Changes `attributes.object` in place; throws StatusError to refuse. */
  admit?(attributes: AdmissionAttributes): void | Promise<void>;
  /** For those who want to see deletions before validation, although they cannot change them. */
  admitDelete?(attributes: AdmissionAttributes): void | Promise<void>;
  /** Throws StatusError to refuse. */
  validate?(attributes: AdmissionAttributes): void | Promise<void>;
}

/** A create of a subresource or review that is answered and not stored. */
export interface DocumentRequest {
  readonly request: ApiRequest;
  readonly kind: KindDefinition;
  /** The decoded body, with defaults. */
  readonly body: KubeObject;
  /** The parent of a subresource, as in the ServiceAccount of a token request. */
  readonly parent: VersionedObject | undefined;
}

export interface PipelineExtensions {
  /** Absent: everything is allowed (tests and the simulator). */
  readonly authorizer?: Authorizer | ((source: ObjectSource) => Authorizer);
  /** Answers a create of a kind that is not stored: SubjectAccessReview, TokenReview, SelfSubjectReview, … */
  readonly review?: (input: DocumentRequest) => Promise<KubeObject>;
  /** Parts of the control plane that ComponentStatus tells of; none where unset. */
  readonly components?: ComponentProbes;
  /** Answers serviceaccounts/token. */
  readonly issueToken?: (input: DocumentRequest) => Promise<KubeObject>;
  /** Runs after the built-in plugins' validation, as in the check against privilege escalation. */
  readonly admission?: readonly AdmissionPlugin[] | ((source: ObjectSource) => readonly AdmissionPlugin[]);
}
