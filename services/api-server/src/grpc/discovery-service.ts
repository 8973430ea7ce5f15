// coxswain.api.v1.Discovery: which resources are served and what they look like, for people with a gRPC client.
import type { KindDefinition } from "@coxswain/api";
import { newNotFound } from "@coxswain/apimachinery";
import type { GrpcService } from "@coxswain/component-base";
import { implementService } from "@coxswain/component-base/grpc-service";
import { structFromJson } from "@coxswain/protos";
import { subresourcesOf } from "@coxswain/api/subresources";
import { servedKinds } from "../discovery/discovery-documents.ts";

export interface SchemaSource {
  /** A self-contained OpenAPI v3 document for the kind; undefined where it is not known. */
  schemaOf(group: string, version: string, kind: string): object | undefined;
}

/** Both are asked at each call: kinds come and go. */
export function createDiscoveryService(
  kinds: () => readonly KindDefinition[],
  schemas: () => SchemaSource,
): GrpcService {
  return implementService("coxswain.api.v1.Discovery", {
    listResources: async () => ({
      resources: servedKinds(kinds()).map((kind) => ({
        group: kind.group,
        version: kind.version,
        resource: kind.resource,
        kind: kind.kind,
        singular: kind.singular,
        namespaced: kind.namespaced,
        verbs: kind.leaving?.verbs ?? kind.verbs,
        shortNames: kind.shortNames,
        categories: kind.categories,
        subresources: subresourcesOf(kind).map((sub) => sub.name),
      })),
    }),
    getSchema: async ({ group, version, kind }) => {
      const schema = schemas().schemaOf(group, version, kind);
      if (schema === undefined) throw newNotFound({ group, resource: `${version}.${kind}` }, kind);
      return { schema: structFromJson(schema) };
    },
  });
}
