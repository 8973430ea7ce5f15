// The defaults of a pod spec, wherever one stands: in a pod or in a template.
import type {
  Container,
  EphemeralContainer,
  PodSpec,
  PodTemplateSpec,
  Probe,
  Volume,
  VolumeProjection,
} from "../../types.gen.ts";
import { roundUpToMilli } from "../../validation/resources.ts";
import { setPodResourceDefaults } from "./pod-resources.ts";

const PROBES = ["livenessProbe", "readinessProbe", "startupProbe"] as const;

/** The tag of an image reference: "latest" where it names neither tag nor digest, "" where it names only a digest. */
export function imageTag(image: string): string {
  const [name = "", digest] = image.split("@", 2);
  const last = name.slice(name.lastIndexOf("/") + 1);
  const colon = last.indexOf(":");
  if (colon >= 0) return last.slice(colon + 1);
  return digest === undefined ? "latest" : "";
}

function pullPolicy(image: string): string {
  return imageTag(image) === "latest" ? "Always" : "IfNotPresent";
}

function setProbeDefaults(probe: Probe): void {
  probe.timeoutSeconds ||= 1;
  probe.periodSeconds ||= 10;
  probe.successThreshold ||= 1;
  probe.failureThreshold ||= 3;
  setHttpGetDefaults(probe);
  if (probe.grpc) probe.grpc.service ??= "";
}

function setHttpGetDefaults({ httpGet }: Pick<Probe, "httpGet">): void {
  if (!httpGet) return;
  httpGet.path ||= "/";
  httpGet.scheme ||= "HTTP";
}

function setContainerDefaults(container: Container | EphemeralContainer): void {
  container.imagePullPolicy ||= pullPolicy(container.image ?? "");
  container.terminationMessagePath ||= "/dev/termination-log";
  container.terminationMessagePolicy ||= "File";
  container.resources ??= {};
  roundUpToMilli(container.resources.limits);
  roundUpToMilli(container.resources.requests);
  for (const port of container.ports ?? []) port.protocol ||= "TCP";
  for (const env of container.env ?? []) {
    if (env.valueFrom?.fieldRef) env.valueFrom.fieldRef.apiVersion ||= "v1";
    if (env.valueFrom?.resourceFieldRef) env.valueFrom.resourceFieldRef.divisor ??= "0";
  }
  for (const name of PROBES) {
    const probe = container[name];
    if (probe) setProbeDefaults(probe);
  }
  if (container.lifecycle?.postStart) setHttpGetDefaults(container.lifecycle.postStart);
  if (container.lifecycle?.preStop) setHttpGetDefaults(container.lifecycle.preStop);
}

function setProjectionDefaults(source: VolumeProjection): void {
  if (source.serviceAccountToken) source.serviceAccountToken.expirationSeconds ??= 3600;
  for (const item of source.downwardAPI?.items ?? []) if (item.fieldRef) item.fieldRef.apiVersion ||= "v1";
}

const MODE_0644 = 0o644;

function setVolumeDefaults(volume: Volume): void {
  if (Object.keys(volume).every((key) => key === "name")) volume.emptyDir = {};
  for (const source of [volume.secret, volume.configMap, volume.downwardAPI, volume.projected]) {
    if (source) source.defaultMode ??= MODE_0644;
  }
  for (const item of volume.downwardAPI?.items ?? []) if (item.fieldRef) item.fieldRef.apiVersion ||= "v1";
  for (const source of volume.projected?.sources ?? []) setProjectionDefaults(source);
  if (volume.hostPath) volume.hostPath.type ??= "";
  if (volume.image) volume.image.pullPolicy ||= pullPolicy(volume.image.reference ?? "");
  const claim = volume.ephemeral?.volumeClaimTemplate?.spec;
  if (claim) claim.volumeMode ??= "Filesystem";
}

/** All containers of a pod spec, init containers first. */
export function allContainers(spec: PodSpec): (Container | EphemeralContainer)[] {
  return [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])];
}

/** Fills in a pod spec, in place. Writes nothing into one that has its defaults, which others may hold too. */
export function setPodSpecDefaults(spec: PodSpec): void {
  spec.dnsPolicy ||= "ClusterFirst";
  spec.restartPolicy ||= "Always";
  spec.securityContext ??= {};
  spec.terminationGracePeriodSeconds ??= 30;
  spec.schedulerName ||= "default-scheduler";
  // The two names of one field: the old one mirrors the new one.
  const account = spec.serviceAccountName || spec.serviceAccount;
  if (account) {
    spec.serviceAccountName ||= account;
    if (spec.serviceAccount !== account) spec.serviceAccount = account;
  } else if (spec.serviceAccountName !== undefined) delete spec.serviceAccountName;
  for (const container of allContainers(spec)) setContainerDefaults(container);
  for (const volume of spec.volumes ?? []) setVolumeDefaults(volume);
  roundUpToMilli(spec.overhead);
  roundUpToMilli(spec.resources?.limits);
  roundUpToMilli(spec.resources?.requests);
}

export function setPodTemplateDefaults(template: PodTemplateSpec | undefined): void {
  if (template?.spec) setPodSpecDefaults(template.spec);
}

/**
 * What holds for pods and not for templates: requests follow limits, host ports follow the host network, and a time to end in
 * that is less than none is a second. In place, too.
 */
export function setPodOnlyDefaults(spec: PodSpec): void {
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? [])]) {
    const { limits, requests } = container.resources ?? {};
    if (limits && Object.keys(limits).some((name) => requests?.[name] === undefined)) {
      container.resources = { ...container.resources, requests: { ...limits, ...requests } };
    }
    if (spec.hostNetwork) for (const port of container.ports ?? []) port.hostPort ||= port.containerPort;
  }
  setPodResourceDefaults(spec);
  if ((spec.terminationGracePeriodSeconds ?? 0) < 0) spec.terminationGracePeriodSeconds = 1;
  spec.enableServiceLinks ??= true;
}
