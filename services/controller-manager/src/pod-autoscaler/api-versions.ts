// Which versions of a group that others serve there are, as discovery tells them: by their APIServices.
import { API_SERVICES, type APIService } from "@coxswain/api";
import type { InformerFactory } from "@coxswain/client";

/** The preferred version first; empty where nobody has registered the group. */
export type ApiVersions = (group: string) => readonly string[];

interface Registered {
  readonly version: string;
  readonly priority: number;
}

/** By priority, and the newer one first where two have the same: of versions of one stage it is the greater text. */
export function preferredFirst(versions: readonly Registered[]): string[] {
  return versions
    .toSorted((a, b) => b.priority - a.priority || (a.version < b.version ? 1 : -1))
    .map(({ version }) => version);
}

/** Before the factory's start. */
export function createApiVersions(informers: InformerFactory): ApiVersions {
  const services = informers.informer<APIService>(API_SERVICES);
  return (group) =>
    preferredFirst(
      services.lister
        .list()
        .flatMap(({ spec }) =>
          spec?.group === group ? [{ version: spec.version ?? "", priority: spec.versionPriority ?? 0 }] : [],
        ),
    );
}
