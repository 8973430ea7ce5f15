// Generated from the .proto files by protos/generate.ts; do not edit.

import type { Struct, StructInput } from "./google-protobuf.gen.ts";


export interface ReadRequest {
  path: string;
}

export interface ReadRequestInput {
  path?: string | null;
}

export interface ReadResponse {
  json: Buffer;
}

export interface ReadResponseInput {
  json?: Uint8Array | null;
}

export interface WriteRequest {
  method: string;
  path: string;
  json: Buffer;
}

export interface WriteRequestInput {
  method?: string | null;
  path?: string | null;
  json?: Uint8Array | null;
}

export interface WriteResponse {
  json: Buffer;
}

export interface WriteResponseInput {
  json?: Uint8Array | null;
}

export type ListResourcesRequest = Record<string, never>;

export type ListResourcesRequestInput = Record<string, never>;

export interface ResourceInfo {
  group: string;
  version: string;
  resource: string;
  kind: string;
  singular: string;
  namespaced: boolean;
  verbs: Array<string>;
  shortNames: Array<string>;
  categories: Array<string>;
  subresources: Array<string>;
}

export interface ResourceInfoInput {
  group?: string | null;
  version?: string | null;
  resource?: string | null;
  kind?: string | null;
  singular?: string | null;
  namespaced?: boolean | null;
  verbs?: ReadonlyArray<string> | null;
  shortNames?: ReadonlyArray<string> | null;
  categories?: ReadonlyArray<string> | null;
  subresources?: ReadonlyArray<string> | null;
}

export interface ListResourcesResponse {
  resources: Array<ResourceInfo>;
}

export interface ListResourcesResponseInput {
  resources?: ReadonlyArray<ResourceInfoInput> | null;
}

export interface GetSchemaRequest {
  group: string;
  version: string;
  kind: string;
}

export interface GetSchemaRequestInput {
  group?: string | null;
  version?: string | null;
  kind?: string | null;
}

export interface GetSchemaResponse {
  schema: Struct | null;
}

export interface GetSchemaResponseInput {
  schema?: StructInput | null;
}

export interface Object {
  json?: Buffer;
  readable?: Struct | null;
  body?: "json" | "readable";
}

export interface ObjectInput {
  json?: Uint8Array | null;
  readable?: StructInput | null;
}

export interface ResourceName {
  group: string;
  version: string;
  resource: string;
  subresource: string;
  namespace: string;
  name: string;
}

export interface ResourceNameInput {
  group?: string | null;
  version?: string | null;
  resource?: string | null;
  subresource?: string | null;
  namespace?: string | null;
  name?: string | null;
}

export interface Fence {
  lease: string;
  holder: string;
  transitions: number;
}

export interface FenceInput {
  lease?: string | null;
  holder?: string | null;
  transitions?: number | null;
}

export interface WriteOptions {
  dryRun: boolean;
  fieldManager: string;
  fieldValidation: string;
  fence: Fence | null;
  format: Format;
}

export interface WriteOptionsInput {
  dryRun?: boolean | null;
  fieldManager?: string | null;
  fieldValidation?: string | null;
  fence?: FenceInput | null;
  format?: Format | null;
}

export interface GetRequest {
  target: ResourceName | null;
  resourceVersion: string;
  format: Format;
}

export interface GetRequestInput {
  target?: ResourceNameInput | null;
  resourceVersion?: string | null;
  format?: Format | null;
}

export interface GetResponse {
  object: Object | null;
}

export interface GetResponseInput {
  object?: ObjectInput | null;
}

export interface ListRequest {
  target: ResourceName | null;
  labelSelector: string;
  fieldSelector: string;
  limit: string;
  continue: string;
  resourceVersion: string;
  resourceVersionMatch: string;
  format: Format;
}

export interface ListRequestInput {
  target?: ResourceNameInput | null;
  labelSelector?: string | null;
  fieldSelector?: string | null;
  limit?: (string | number) | null;
  continue?: string | null;
  resourceVersion?: string | null;
  resourceVersionMatch?: string | null;
  format?: Format | null;
}

export interface ListResponse {
  resourceVersion: string;
  continue: string;
  remainingItemCount: string;
  items: Array<Object>;
}

export interface ListResponseInput {
  resourceVersion?: string | null;
  continue?: string | null;
  remainingItemCount?: (string | number) | null;
  items?: ReadonlyArray<ObjectInput> | null;
}

export interface WatchRequest {
  target: ResourceName | null;
  labelSelector: string;
  fieldSelector: string;
  resourceVersion: string;
  allowBookmarks: boolean;
  sendInitialEvents: boolean;
  timeoutSeconds: string;
  format: Format;
}

export interface WatchRequestInput {
  target?: ResourceNameInput | null;
  labelSelector?: string | null;
  fieldSelector?: string | null;
  resourceVersion?: string | null;
  allowBookmarks?: boolean | null;
  sendInitialEvents?: boolean | null;
  timeoutSeconds?: (string | number) | null;
  format?: Format | null;
}

export interface WatchEvent {
  type: string;
  resourceVersion: string;
  object: Object | null;
}

export interface WatchEventInput {
  type?: string | null;
  resourceVersion?: string | null;
  object?: ObjectInput | null;
}

export interface WatchResponse {
  events: Array<WatchEvent>;
}

export interface WatchResponseInput {
  events?: ReadonlyArray<WatchEventInput> | null;
}

export interface CreateRequest {
  target: ResourceName | null;
  object: Object | null;
  options: WriteOptions | null;
}

export interface CreateRequestInput {
  target?: ResourceNameInput | null;
  object?: ObjectInput | null;
  options?: WriteOptionsInput | null;
}

export interface CreateResponse {
  object: Object | null;
}

export interface CreateResponseInput {
  object?: ObjectInput | null;
}

export interface UpdateRequest {
  target: ResourceName | null;
  object: Object | null;
  options: WriteOptions | null;
}

export interface UpdateRequestInput {
  target?: ResourceNameInput | null;
  object?: ObjectInput | null;
  options?: WriteOptionsInput | null;
}

export interface UpdateResponse {
  object: Object | null;
}

export interface UpdateResponseInput {
  object?: ObjectInput | null;
}

export interface PatchRequest {
  target: ResourceName | null;
  patchType: string;
  patch: Buffer;
  options: WriteOptions | null;
}

export interface PatchRequestInput {
  target?: ResourceNameInput | null;
  patchType?: string | null;
  patch?: Uint8Array | null;
  options?: WriteOptionsInput | null;
}

export interface PatchResponse {
  object: Object | null;
}

export interface PatchResponseInput {
  object?: ObjectInput | null;
}

export interface DeleteRequest {
  target: ResourceName | null;
  deleteOptions: Buffer;
  options: WriteOptions | null;
}

export interface DeleteRequestInput {
  target?: ResourceNameInput | null;
  deleteOptions?: Uint8Array | null;
  options?: WriteOptionsInput | null;
}

export interface DeleteResponse {
  object: Object | null;
}

export interface DeleteResponseInput {
  object?: ObjectInput | null;
}

export interface DeleteCollectionRequest {
  target: ResourceName | null;
  labelSelector: string;
  fieldSelector: string;
  deleteOptions: Buffer;
  options: WriteOptions | null;
}

export interface DeleteCollectionRequestInput {
  target?: ResourceNameInput | null;
  labelSelector?: string | null;
  fieldSelector?: string | null;
  deleteOptions?: Uint8Array | null;
  options?: WriteOptionsInput | null;
}

export interface DeleteCollectionResponse {
  object: Object | null;
}

export interface DeleteCollectionResponseInput {
  object?: ObjectInput | null;
}

export interface BatchRequest {
  id: string;
  create?: CreateRequest | null;
  update?: UpdateRequest | null;
  patch?: PatchRequest | null;
  delete?: DeleteRequest | null;
  more: Array<BatchRequest>;
  together: boolean;
  operation?: "create" | "update" | "patch" | "delete";
}

export interface BatchRequestInput {
  id?: (string | number) | null;
  create?: CreateRequestInput | null;
  update?: UpdateRequestInput | null;
  patch?: PatchRequestInput | null;
  delete?: DeleteRequestInput | null;
  more?: ReadonlyArray<BatchRequestInput> | null;
  together?: boolean | null;
}

export interface BatchResponse {
  id: string;
  object: Object | null;
  status: Buffer;
  more: Array<BatchResponse>;
}

export interface BatchResponseInput {
  id?: (string | number) | null;
  object?: ObjectInput | null;
  status?: Uint8Array | null;
  more?: ReadonlyArray<BatchResponseInput> | null;
}

export type Format = "FORMAT_UNSPECIFIED" | "FORMAT_JSON" | "FORMAT_READABLE";
