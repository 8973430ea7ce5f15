// The OpenAPI documents that are served: one for each group and version, made on first demand and then kept as bytes with
// their hash, by which clients know whether their copy is current.
import { createHash } from "node:crypto";
import { componentSchemas, type JsonSchema } from "@coxswain/api/schema/open-api-schemas";
import { openApiPath, openApiV2, openApiV3, openApiV3Index, type V3Document } from "@coxswain/api/schema/index";
import { REFERRED_SCHEMAS } from "@coxswain/api/apiextensions-v1/open-api";
import type { KindDefinition } from "@coxswain/api";
import { isJsonObject, jsonOrNothing } from "@coxswain/apimachinery";
import type { RemoteVersion } from "../aggregation/aggregator.ts";
import { servedKinds } from "../discovery/discovery-documents.ts";

export interface OpenApiDocuments {
  /** The index of /openapi/v3. */
  index(): object;
  /** As in "api/v1" or "apis/apps/v1". */
  readonly groupPaths: readonly string[];
  /** By group path; undefined where it is not served. */
  v3(groupPath: string): { readonly body: Buffer; readonly hash: string } | undefined;
  v2(): JsonSchema;
  /** One kind's schema with all that it refers to; undefined where the kind is not known. */
  schemaOf(group: string, version: string, kind: string): object | undefined;
}

/** `remotes`: versions of other api-servers, whose documents are passed on as they are. */
export function createOpenApi(
  kinds: readonly KindDefinition[],
  remotes: readonly RemoteVersion[] = [],
): OpenApiDocuments {
  const elsewhere = new Set(remotes.map(({ group, version }) => openApiPath(group, version)));
  const served = servedKinds(kinds).filter(({ group, version }) => !elsewhere.has(openApiPath(group, version)));
  const groupVersions = new Map(served.map(({ group, version }) => [openApiPath(group, version), { group, version }]));
  const made = new Map<string, { body: Buffer; hash: string }>();
  for (const { group, version, openApi } of remotes) {
    if (openApi === undefined) continue;
    groupVersions.set(openApiPath(group, version), { group, version });
    made.set(openApiPath(group, version), openApi);
  }

  const v3: OpenApiDocuments["v3"] = (groupPath) => {
    const known = made.get(groupPath);
    const groupVersion = groupVersions.get(groupPath);
    if (known !== undefined || groupVersion === undefined) return known;
    const body = Buffer.from(JSON.stringify(openApiV3(groupVersion.group, groupVersion.version, served)));
    const fresh = { body, hash: createHash("sha256").update(body).digest("hex").toUpperCase() };
    made.set(groupPath, fresh);
    return fresh;
  };

  return {
    index: () => openApiV3Index([...groupVersions.values()], (path) => v3(path)?.hash ?? ""),
    groupPaths: [...groupVersions.keys()],
    v3,
    v2: () => openApiV2([...groupVersions.keys()].flatMap((path) => parsed(v3(path)?.body))),
    schemaOf(group, version, name) {
      const kind = kinds.find((one) => one.group === group && one.version === version && one.kind === name);
      if (kind === undefined) return undefined;
      const schemas =
        kind.custom === undefined
          ? componentSchemas([kind.schemaName])
          : { ...componentSchemas(REFERRED_SCHEMAS), ...kind.custom.schemas };
      return { $ref: `#/components/schemas/${kind.schemaName}`, components: { schemas } };
    },
  };
}

/** A document; none where what another api-server sent is none. */
function parsed(body: Buffer | undefined): V3Document[] {
  if (body === undefined) return [];
  const document = jsonOrNothing(body.toString());
  return isJsonObject(document) ? [document] : [];
}
