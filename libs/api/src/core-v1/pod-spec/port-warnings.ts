// What upstream warns of in the ports of a pod's containers: one port, or one name, twice.
import type { Container, ContainerPort, EphemeralContainer, PodSpec } from "../../types.gen.ts";
import { eachContainer } from "./each-container.ts";

interface Place {
  readonly path: string;
  readonly port: ContainerPort;
}

/** As Go prints the struct. */
function shown({
  name = "",
  hostPort = 0,
  containerPort = 0,
  protocol = "",
  hostIP = "",
}: Partial<ContainerPort>): string {
  return `{Name:${name} HostPort:${hostPort} ContainerPort:${containerPort} Protocol:${protocol} HostIP:${hostIP}}`;
}

function clash({ port: { hostPort = 0, hostIP = "" } }: Place, { port: other }: Place): string | undefined {
  const [otherPort, otherIp] = [other.hostPort ?? 0, other.hostIP ?? ""];
  if (hostIP === otherIp && hostPort === otherPort) return "duplicate";
  if (hostPort === 0 || otherPort === 0) return "overlapping";
  return hostPort === otherPort && (hostIP === "") !== (otherIp === "") ? "dangerously ambiguous" : undefined;
}

function placesOf(spec: PodSpec, path: string): Place[] {
  const places: Place[] = [];
  eachContainer(spec, path, ({ ports }: Container | EphemeralContainer, at) => {
    for (const [index, port] of (ports ?? []).entries()) places.push({ path: `${at}.ports[${index}]`, port });
  });
  return places;
}

/** Of the spec at `path`. */
export function portWarnings(spec: PodSpec, path: string): string[] {
  const places = placesOf(spec, path);
  const warnings: string[] = [];
  const seen = new Map<string, Place[]>();
  for (const place of places) {
    const { port } = place;
    if (port.hostIP && !port.hostPort) warnings.push(`${place.path}: hostIP set without hostPort: ${shown(port)}`);
    const key = `${port.containerPort}/${port.protocol ?? ""}`;
    const others = seen.get(key) ?? [];
    for (const other of others) {
      const what = clash(place, other);
      if (what !== undefined) warnings.push(`${place.path}: ${what} port definition with ${other.path}`);
    }
    seen.set(key, [...others, place]);
  }
  const names = new Map<string, string>();
  for (const { path: at, port } of places) {
    if (!port.name) continue;
    const first = names.get(port.name);
    if (first === undefined) names.set(port.name, at);
    else {
      const name = JSON.stringify(port.name);
      warnings.push(
        `${at}: duplicate port name ${name} with ${first}, services and probes that select ports by name will use ${first}`,
      );
    }
  }
  return warnings;
}
