// What a pod says about other pods (spec.affinity.podAffinity and podAntiAffinity), compiled. Pods of one workload say the
// same, so they share one compiled object, and a term is the same object wherever it says the same.
// https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#inter-pod-affinity-and-anti-affinity
import { labelSelectorAsSelector, type Selector } from "@coxswain/apimachinery";
import type { Pod, PodAffinityTerm } from "@coxswain/api";

export type TermKind = "required" | "requiredAnti" | "preferred" | "preferredAnti";

export interface AffinityTerm {
  readonly kind: TermKind;
  /** Equal for terms of one kind that select the same pods of the same namespaces by the same topology and weight. */
  readonly key: string;
  /** Equal for terms that select the same pods. */
  readonly selects: string;
  readonly topologyKey: string;
  /** Of a preferred term, 1..100; 0 for a required one. */
  readonly weight: number;
  readonly namespaces: ReadonlySet<string>;
  /** Undefined where the term has none. */
  readonly namespaceSelector: Selector | undefined;
  readonly selector: Selector;
}

export interface PodTerms {
  readonly required: readonly AffinityTerm[];
  readonly requiredAnti: readonly AffinityTerm[];
  readonly preferred: readonly AffinityTerm[];
  readonly preferredAnti: readonly AffinityTerm[];
  readonly all: readonly AffinityTerm[];
}

const NO_TERMS: PodTerms = { required: [], requiredAnti: [], preferred: [], preferredAnti: [], all: [] };

/** Namespace labels by name; undefined for a namespace that is not known. */
export type NamespaceLabels = (namespace: string) => Readonly<Record<string, string>> | undefined;

/** Whether a pod of `namespace` with `labels` is meant by the term. */
export function termSelects(
  term: AffinityTerm,
  namespace: string,
  labels: Readonly<Record<string, string>>,
  namespaceLabels: NamespaceLabels,
): boolean {
  const inside =
    term.namespaces.has(namespace) || (term.namespaceSelector?.matches(namespaceLabels(namespace) ?? {}) ?? false);
  return inside && term.selector.matches(labels);
}

/** Selectors and parsed terms are shared up to this many; then everything is forgotten and made afresh. */
const MAX_SHARED = 4096;

/** Throws BadRequest where a selector is malformed; the api-server lets none such through. */
class TermCompiler {
  readonly #pods = new Map<string, PodTerms>();
  readonly #terms = new Map<string, AffinityTerm>();

  termsOf(pod: Pod): PodTerms {
    const affinity = pod.spec?.affinity;
    if (affinity?.podAffinity === undefined && affinity?.podAntiAffinity === undefined) return NO_TERMS;
    const namespace = pod.metadata?.namespace ?? "";
    const text = JSON.stringify([namespace, affinity.podAffinity, affinity.podAntiAffinity]);
    const known = this.#pods.get(text);
    if (known !== undefined) return known;
    if (this.#pods.size >= MAX_SHARED) this.#pods.clear();
    const made = this.#compileAll(pod, namespace);
    this.#pods.set(text, made);
    return made;
  }

  #compileAll(pod: Pod, namespace: string): PodTerms {
    const { podAffinity, podAntiAffinity } = pod.spec?.affinity ?? {};
    const hard = (kind: TermKind, terms: readonly PodAffinityTerm[] | undefined): AffinityTerm[] =>
      (terms ?? []).map((term) => this.#compile(kind, term, 0, namespace));
    const required = hard("required", podAffinity?.requiredDuringSchedulingIgnoredDuringExecution);
    const requiredAnti = hard("requiredAnti", podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution);
    const preferred = (podAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((one) =>
      this.#compile("preferred", one.podAffinityTerm, one.weight, namespace),
    );
    const preferredAnti = (podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).map((one) =>
      this.#compile("preferredAnti", one.podAffinityTerm, one.weight, namespace),
    );
    const all = [...required, ...requiredAnti, ...preferred, ...preferredAnti];
    return { required, requiredAnti, preferred, preferredAnti, all };
  }

  /** A term that names no namespaces means those of its own pod. */
  #compile(kind: TermKind, term: PodAffinityTerm, weight: number, own: string): AffinityTerm {
    const named = term.namespaces ?? [];
    const namespaces = named.length === 0 && term.namespaceSelector === undefined ? [own] : named.toSorted();
    const selector = labelSelectorAsSelector(term.labelSelector);
    const namespaceSelector =
      term.namespaceSelector === undefined ? undefined : labelSelectorAsSelector(term.namespaceSelector);
    const selects = JSON.stringify([
      namespaces,
      namespaceSelector?.toString() ?? null,
      selector.isNothing,
      selector.toString(),
    ]);
    const key = JSON.stringify([kind, weight, term.topologyKey, selects]);
    const known = this.#terms.get(key);
    if (known !== undefined) return known;
    if (this.#terms.size >= MAX_SHARED) this.#terms.clear();
    const { topologyKey } = term;
    const made = {
      kind,
      key,
      selects,
      topologyKey,
      weight,
      namespaces: new Set(namespaces),
      namespaceSelector,
      selector,
    };
    this.#terms.set(key, made);
    return made;
  }
}

const compiler = new TermCompiler();

export function affinityTermsOf(pod: Pod): PodTerms {
  return compiler.termsOf(pod);
}
