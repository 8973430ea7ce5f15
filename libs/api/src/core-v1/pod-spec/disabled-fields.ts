// Fields of features that are off in v1.35: like upstream, what a creator sets there is dropped and never stored. An object that has
// them already keeps them. Guarantees: the given spec stays as it is, and is returned itself where there is nothing to drop.
import type { Strategy } from "../../kind.ts";
import type { Container, EphemeralContainer, PodSpec, PodTemplateSpec, Volume } from "../../types.gen.ts";

/** Fields that the declarations which types are made from have dropped again. */
type WideSpec = PodSpec & { workloadRef?: unknown };
const NO_SPEC: PodSpec = { containers: [] };
const CONTAINER_LISTS = ["containers", "initContainers", "ephemeralContainers"] as const;
/** Sources of projected volumes: ClusterTrustBundleProjection and PodCertificateRequest. */
const PROJECTIONS = ["clusterTrustBundle", "podCertificate"] as const;

type AnyContainer = Container | EphemeralContainer;
type Projection = (typeof PROJECTIONS)[number];

const stopsOwnWay = (container: AnyContainer): boolean => container.lifecycle?.stopSignal !== undefined;

const projects = (volumes: readonly Volume[] | undefined, name: Projection): boolean =>
  volumes?.some(({ projected }) => projected?.sources?.some((source) => source[name] !== undefined)) === true;

/** ContainerStopSignals. A lifecycle that said nothing else goes with it. */
function withoutStopSignal<T extends AnyContainer>(container: T): T {
  if (!stopsOwnWay(container)) return container;
  const { stopSignal: _, ...rest } = container.lifecycle ?? {};
  if (Object.keys(rest).length > 0) return { ...container, lifecycle: rest };
  const { lifecycle: __, ...bare } = container;
  return bare as T;
}

function withoutProjections(volume: Volume, dropped: readonly Projection[]): Volume {
  const { projected } = volume;
  if (projected?.sources === undefined) return volume;
  const sources = projected.sources.map((source) => {
    const kept = { ...source };
    for (const name of dropped) delete kept[name];
    return kept;
  });
  return { ...volume, projected: { ...projected, sources } };
}

/** `spec` without what features that are off would read; `old` is what is stored. */
export function withoutDisabledFields(spec: WideSpec, old: WideSpec = NO_SPEC): PodSpec {
  let result = spec;
  // GenericWorkload.
  if (spec.workloadRef !== undefined && old.workloadRef === undefined) {
    const { workloadRef: _, ...rest } = result;
    result = rest;
  }
  const lists = CONTAINER_LISTS.filter((list) => spec[list]?.some(stopsOwnWay));
  if (lists.length > 0 && !CONTAINER_LISTS.some((list) => old[list]?.some(stopsOwnWay))) {
    for (const list of lists) result = { ...result, [list]: result[list]?.map(withoutStopSignal) };
  }
  const dropped = PROJECTIONS.filter((name) => projects(spec.volumes, name) && !projects(old.volumes, name));
  if (dropped.length > 0) {
    result = { ...result, volumes: (result.volumes ?? []).map((volume) => withoutProjections(volume, dropped)) };
  }
  return result;
}

/** `strategy` for objects that hold a template of pods. */
export function droppingDisabledFields<T>(
  templateOf: (object: T) => PodTemplateSpec | undefined,
  strategy: Strategy<T>,
): Strategy<T> {
  const drop = (object: T, old?: T): void => {
    const template = templateOf(object);
    if (template?.spec === undefined) return;
    const spec = withoutDisabledFields(template.spec, old && templateOf(old)?.spec);
    // What is shared with the old object has nothing to drop.
    if (spec !== template.spec) template.spec = spec;
  };
  return {
    ...strategy,
    prepareForCreate(object, context) {
      drop(object);
      strategy.prepareForCreate(object, context);
    },
    prepareForUpdate(object, old, context) {
      drop(object, old);
      strategy.prepareForUpdate(object, old, context);
    },
  };
}
