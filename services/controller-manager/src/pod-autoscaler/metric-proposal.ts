// What one metric of an autoscaler asks for: its figures from the source, the number of replicas from the calculator, and what the
// status says of it. Guarantee: a metric that cannot be had ends in a MetricFailure with upstream's reason and wording.
import type {
  ExternalMetricSource,
  MetricIdentifier,
  MetricSpec,
  MetricStatus,
  MetricTarget,
  ObjectMetricSource,
  PodsMetricSource,
} from "@coxswain/api";
import { labelSelectorAsSelector, parseQuantity, quantityOfMillis } from "@coxswain/apimachinery";
import { printSelector } from "../pods/print-selector.ts";
import type { MetricName, MetricsSource } from "./metrics-source.ts";
import {
  averageReplicas,
  MetricError,
  resourceReplicas,
  sharedReplicas,
  valueReplicas,
  type CalculatorFacts,
} from "./replica-calculator.ts";

export interface ProposalContext {
  readonly source: MetricsSource;
  readonly namespace: string;
  /** Of the target's pods, in the text form. */
  readonly selector: string;
  readonly specReplicas: number;
  readonly statusReplicas: number;
  readonly facts: CalculatorFacts;
}

export interface MetricProposal {
  readonly replicas: number;
  /** As events name it: "cpu resource utilization (percentage of request)". */
  readonly name: string;
  readonly status: MetricStatus;
}

/** Why a metric proposes nothing: `detail` for the condition, the message for those who count failures. */
export class MetricFailure extends Error {
  override readonly name = "MetricFailure";
  readonly reason: string;
  readonly detail: string;
  constructor(reason: string, detail: string, message: string) {
    super(message);
    this.reason = reason;
    this.detail = detail;
  }
}

const amount = (millis: number): string => quantityOfMillis(millis).toString();
/** Memory is told as the metrics API tells it. */
const amountOf = (resource: string, millis: number): string =>
  quantityOfMillis(millis, resource === "memory" ? "BinarySI" : "DecimalSI").toString();
const millis = (text: string): number => parseQuantity(text).milliValue();

function metricName({ name, selector }: MetricIdentifier): MetricName {
  return { name, selector: selector === undefined ? "" : labelSelectorAsSelector(selector).toString() };
}

/** Puts words before the message of what a calculation says; everything else passes. */
async function explained<T>(words: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof MetricError) throw new MetricError(`${words}: ${error.message}`);
    throw error;
  }
}

interface ResourceTarget {
  readonly resource: string;
  /** "" for the whole pod. */
  readonly container: string;
  readonly target: MetricTarget;
}

async function byResource(
  { resource, container, target }: ResourceTarget,
  context: ProposalContext,
): Promise<Omit<MetricProposal, "status"> & { current: object }> {
  const { source, namespace, selector, specReplicas, facts } = context;
  const metrics = () =>
    explained(`unable to get metrics for resource ${resource}`, () =>
      source.resource(resource, namespace, selector, container),
    );
  if (target.averageValue !== undefined) {
    const usageTarget = { usage: millis(target.averageValue), resource };
    const { replicas, usage } = await explained(`failed to get ${resource} usage`, async () =>
      averageReplicas(specReplicas, usageTarget, await metrics(), facts),
    );
    return { replicas, name: `${resource} resource`, current: { averageValue: amountOf(resource, usage) } };
  }
  const { averageUtilization } = target;
  if (averageUtilization === undefined) {
    throw new MetricError(
      "invalid resource metric source: neither an average utilization target nor an average value (usage) target was set",
    );
  }
  const wanted = { utilization: averageUtilization, resource, container };
  const { replicas, utilization, average } = await explained(`failed to get ${resource} utilization`, async () =>
    resourceReplicas(specReplicas, wanted, await metrics(), facts),
  );
  const kind = container === "" ? "resource" : "container resource";
  return {
    replicas,
    name: `${resource} ${kind} utilization (percentage of request)`,
    current: { averageUtilization: utilization, averageValue: amountOf(resource, average) },
  };
}

async function byPods({ metric, target }: PodsMetricSource, context: ProposalContext): Promise<MetricProposal> {
  const { source, namespace, selector, specReplicas, facts } = context;
  const metrics = await explained(`unable to get metric ${metric.name}`, () =>
    source.pods(metricName(metric), namespace, selector),
  );
  const wanted = { usage: millis(target.averageValue ?? "0"), resource: "" };
  const { replicas, usage } = averageReplicas(specReplicas, wanted, metrics, facts);
  const status = { type: "Pods", pods: { metric, current: { averageValue: amount(usage) } } };
  return { replicas, name: `pods metric ${metric.name}`, status };
}

/** One amount for all replicas, or shared by them. */
function byAmount(
  target: MetricTarget,
  usage: number,
  { specReplicas, statusReplicas, facts }: ProposalContext,
): { replicas: number; current: { value: string } | { averageValue: string } } {
  if (target.type === "Value") {
    const replicas = valueReplicas(specReplicas, millis(target.value ?? "0"), usage, facts);
    return { replicas, current: { value: amount(usage) } };
  }
  const shared = sharedReplicas(statusReplicas, millis(target.averageValue ?? "0"), usage, facts.tolerances);
  return { replicas: shared.replicas, current: { averageValue: amount(shared.usage) } };
}

async function byObject(spec: ObjectMetricSource, context: ProposalContext): Promise<MetricProposal> {
  const { metric, describedObject, target } = spec;
  const { source, namespace } = context;
  if (target.type !== "Value" && target.type !== "AverageValue") {
    throw new MetricError("invalid object metric source: neither a value target nor an average value target was set");
  }
  let usage: number;
  try {
    usage = await source.object(metricName(metric), namespace, describedObject);
  } catch (error) {
    if (!(error instanceof MetricError)) throw error;
    const { kind, name } = describedObject;
    throw new MetricError(`unable to get metric ${metric.name}: ${kind} on ${namespace} ${name}/${error.message}`);
  }
  const { replicas, current } = byAmount(target, usage, context);
  const shared = `external metric ${metric.name}(${printSelector(metric.selector)})`;
  const name = target.type === "Value" ? `${describedObject.kind} metric ${metric.name}` : shared;
  return { replicas, name, status: { type: "Object", object: { describedObject, metric, current } } };
}

async function byExternal({ metric, target }: ExternalMetricSource, context: ProposalContext): Promise<MetricProposal> {
  const { source, namespace } = context;
  if (target.type !== "Value" && target.type !== "AverageValue") {
    throw new MetricError("invalid external metric source: neither a value target nor an average value target was set");
  }
  const printed = printSelector(metric.selector);
  const usage = await explained(`unable to get external metric ${namespace}/${metric.name}/${printed}`, async () =>
    (await source.external(metricName(metric), namespace)).reduce((sum, one) => sum + one, 0),
  );
  const { replicas, current } = byAmount(target, usage, context);
  const status = { type: "External", external: { metric, current } };
  return { replicas, name: `external metric ${metric.name}(${printed})`, status };
}

interface Way {
  readonly reason: string;
  /** Before the detail, in what is counted as invalid. */
  readonly words: string;
  compute(context: ProposalContext): Promise<MetricProposal>;
}

function wayOf(spec: MetricSpec): Way {
  const { resource, containerResource, pods, object, external } = spec;
  if (spec.type === "Resource" && resource !== undefined) {
    return {
      reason: "FailedGetResourceMetric",
      words: `failed to get ${resource.name} resource metric value`,
      async compute(context) {
        const { current, ...rest } = await byResource({ ...resource, resource: resource.name, container: "" }, context);
        return { ...rest, status: { type: "Resource", resource: { name: resource.name, current } } };
      },
    };
  }
  if (spec.type === "ContainerResource" && containerResource !== undefined) {
    const { name, container, target } = containerResource;
    return {
      reason: "FailedGetContainerResourceMetric",
      words: `failed to get ${container} container metric value`,
      async compute(context) {
        const { current, ...rest } = await byResource({ resource: name, container, target }, context);
        return { ...rest, status: { type: "ContainerResource", containerResource: { name, container, current } } };
      },
    };
  }
  if (spec.type === "Pods" && pods !== undefined) {
    const words = "failed to get pods metric value";
    return { reason: "FailedGetPodsMetric", words, compute: (context) => byPods(pods, context) };
  }
  if (spec.type === "Object" && object !== undefined) {
    const inner = object.target.type === "AverageValue" ? `: failed to get ${object.metric.name} object metric` : "";
    const words = `failed to get object metric value${inner}`;
    return { reason: "FailedGetObjectMetric", words, compute: (context) => byObject(object, context) };
  }
  if (spec.type === "External" && external !== undefined) {
    const { name } = external.metric;
    const shared = external.target.type === "AverageValue";
    const inner = shared ? `failed to get ${name} external metric` : `failed to get external metric ${name}`;
    const words = `failed to get ${name} external metric value: ${inner}`;
    return { reason: "FailedGetExternalMetric", words, compute: (context) => byExternal(external, context) };
  }
  const detail = `unknown metric source type ${JSON.stringify(spec.type)}`;
  throw new MetricFailure("InvalidMetricSourceType", detail, detail);
}

/** Throws MetricFailure, and other errors for what is no failure of a metric. */
export async function proposeByMetric(spec: MetricSpec, context: ProposalContext): Promise<MetricProposal> {
  const way = wayOf(spec);
  try {
    return await way.compute(context);
  } catch (error) {
    if (!(error instanceof MetricError)) throw error;
    throw new MetricFailure(way.reason, error.message, `${way.words}: ${error.message}`);
  }
}
