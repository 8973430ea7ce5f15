// The answer to one question, by the Kubernetes DNS specification (schema 1.1.0). Pure. Guarantees:
// - NXDOMAIN means that neither the name nor anything below it exists; a name without records of the asked type gives
//   NOERROR and no answer. Both carry the SOA, so that resolvers may remember them for as long as the TTL.
// - A headless service without an endpoint to tell is NXDOMAIN; a ClusterIP one answers whether it has endpoints or not.
// - Pod names are made from addresses and not checked against pods, as upstream's cluster DNS is usually set up.
import type { Answer } from "dns-packet";
import { isIPv4 } from "node:net";
import type { DnsEndpoint, DnsIndex, DnsPort, DnsService } from "./dns-index.ts";
import { parseName, type ParsedName } from "./parse-name.ts";

/** Seconds. */
export const TTL = 5;
const SCHEMA_VERSION = "1.1.0";
const MOST_ALIASES = 8;

export interface ZoneSettings {
  /** "cluster.local" */
  readonly domain: string;
  /** The cluster address of the DNS itself. */
  readonly dnsAddress: string;
}

export interface Question {
  readonly name: string;
  /** "A", "AAAA", "SRV" … */
  readonly type: string;
}

export type Planned =
  /** The name is not ours. */
  | { readonly kind: "outside" }
  | {
      readonly kind: "answer";
      readonly code: "NOERROR" | "NXDOMAIN";
      readonly answers: readonly Answer[];
      readonly authorities: readonly Answer[];
      readonly additionals: readonly Answer[];
      /** Where the last alias leads out of the domain: what a forwarder may go on with. */
      readonly continueAt?: string;
    };

type Records = { readonly answers: readonly Answer[]; readonly additionals?: readonly Answer[] };

/** What a name holds: undefined where it does not exist. */
type Found = Records | { readonly alias: string } | undefined;

/** Answers from what the index knows at this moment. */
export function planAnswer(question: Question, index: DnsIndex, zone: ZoneSettings): Planned {
  const answers: Answer[] = [];
  let { name } = question;
  for (let hops = 0; ; hops++) {
    const parsed = parseName(name, zone.domain);
    const found = parsed.kind === "outside" ? "outside" : find(parsed, { ...question, name }, index, zone);
    if (found === "outside") {
      if (hops === 0) return { kind: "outside" };
      return { kind: "answer", code: "NOERROR", answers, authorities: [], additionals: [], continueAt: name };
    }
    if (found !== undefined && "alias" in found) {
      answers.push({ type: "CNAME", name, ttl: TTL, class: "IN", data: found.alias });
      if (question.type === "CNAME" || hops >= MOST_ALIASES)
        return { kind: "answer", code: "NOERROR", answers, authorities: [], additionals: [] };
      name = found.alias;
      continue;
    }
    // Of an address that nothing here has, somebody else may know the name.
    if (found === undefined && parsed.kind === "reverse" && hops === 0) return { kind: "outside" };
    answers.push(...(found?.answers ?? []));
    const authorities = answers.length === 0 || found === undefined ? [soa(zone)] : [];
    const code = found === undefined ? "NXDOMAIN" : "NOERROR";
    return { kind: "answer", code, answers, authorities, additionals: found?.additionals ?? [] };
  }
}

/** The domain's SOA, in `authority` of every negative answer. */
export function soa({ domain }: ZoneSettings): Answer {
  const data = { mname: `ns.dns.${domain}`, rname: `hostmaster.${domain}` };
  const times = { serial: 1, refresh: 7200, retry: 1800, expire: 86_400, minimum: TTL };
  return { type: "SOA", name: domain, ttl: TTL, class: "IN", data: { ...data, ...times } };
}

const NO_RECORDS: Records = { answers: [] };

function find(parsed: ParsedName, question: Question, index: DnsIndex, zone: ZoneSettings): Found {
  switch (parsed.kind) {
    case "apex":
      return apexRecords(question, zone);
    case "container":
      return NO_RECORDS;
    case "namespace":
      return index.namespaceExists(parsed.namespace) ? NO_RECORDS : undefined;
    case "dns-server":
      return { answers: addressRecords(question, [zone.dnsAddress]) };
    case "schema-version":
      return { answers: question.type === "TXT" ? [{ ...owner(question), type: "TXT", data: SCHEMA_VERSION }] : [] };
    case "pod":
      return index.namespaceExists(parsed.namespace)
        ? { answers: addressRecords(question, [parsed.address]) }
        : undefined;
    case "reverse":
      return reverseRecords(parsed.address, question, index, zone);
    case "service":
    case "protocol":
    case "port":
    case "endpoint":
      return serviceRecords(parsed, question, index, zone);
    case "nothing":
    case "outside":
      return undefined;
  }
  return undefined;
}

function owner(question: Question): { name: string; ttl: number; class: "IN" } {
  return { name: question.name, ttl: TTL, class: "IN" };
}

function apexRecords(question: Question, zone: ZoneSettings): Records {
  if (question.type === "SOA") return { answers: [{ ...soa(zone), name: question.name }] };
  if (question.type !== "NS") return NO_RECORDS;
  const name = `ns.dns.${zone.domain}`;
  return {
    answers: [{ ...owner(question), type: "NS", data: name }],
    additionals: addressRecords({ name, type: "ANY" }, [zone.dnsAddress]),
  };
}

/** A or AAAA records, whichever was asked for. */
function addressRecords(question: Question, addresses: readonly string[]): Answer[] {
  return addresses
    .map((data): Answer => ({ ...owner(question), type: isIPv4(data) ? "A" : "AAAA", data }))
    .filter((one) => question.type === one.type || question.type === "ANY");
}

type ServiceName = Extract<ParsedName, { kind: "service" | "protocol" | "port" | "endpoint" }>;

function serviceRecords(parsed: ServiceName, question: Question, index: DnsIndex, zone: ZoneSettings): Found {
  const service = index.service(parsed.namespace, parsed.service);
  if (service === undefined) return undefined;
  if (service.kind === "external") return parsed.kind === "service" ? { alias: service.externalName } : undefined;
  const endpoints = index.endpoints(parsed.namespace, parsed.service);
  switch (parsed.kind) {
    case "service":
      return ownRecords(service, endpoints, question, zone);
    case "endpoint": {
      const found = endpoints.filter((one) => one.label.toLowerCase() === parsed.label);
      if (found.length === 0) return undefined;
      return { answers: addressRecords(question, addressesOf(found)) };
    }
    case "protocol": {
      const ports = [...service.ports, ...endpoints.flatMap((one) => one.ports)];
      return ports.some((one) => one.name !== "" && one.protocol === parsed.protocol) ? NO_RECORDS : undefined;
    }
    case "port": {
      const wanted = (port: DnsPort): boolean => port.name === parsed.port && port.protocol === parsed.protocol;
      const targets = targetsOf(service, endpoints, wanted, zone);
      if (targets.length === 0) return undefined;
      return question.type === "SRV" || question.type === "ANY" ? portRecords(targets, question) : NO_RECORDS;
    }
  }
  return undefined;
}

function ownRecords(
  service: DnsService,
  endpoints: readonly DnsEndpoint[],
  question: Question,
  zone: ZoneSettings,
): Records | undefined {
  if (service.kind === "headless" && endpoints.length === 0) return undefined;
  if (question.type === "SRV")
    return portRecords(
      targetsOf(service, endpoints, () => true, zone),
      question,
    );
  return {
    answers: addressRecords(question, service.kind === "headless" ? addressesOf(endpoints) : service.addresses),
  };
}

function addressesOf(endpoints: readonly DnsEndpoint[]): string[] {
  return endpoints.map((one) => one.address);
}

interface Target {
  readonly name: string;
  readonly port: number;
  readonly addresses: readonly string[];
}

/** Where a service's wanted ports are found: at the service's own name, or at each endpoint of a headless one. */
function targetsOf(
  service: DnsService,
  endpoints: readonly DnsEndpoint[],
  wanted: (port: DnsPort) => boolean,
  zone: ZoneSettings,
): Target[] {
  const name = `${service.name}.${service.namespace}.svc.${zone.domain}`;
  if (service.kind === "cluster-ip")
    return service.ports.filter(wanted).map(({ port }) => ({ name, port, addresses: service.addresses }));
  return endpoints.flatMap(({ label, address, ports }) =>
    ports.filter(wanted).map(({ port }) => ({ name: `${label}.${name}`, port, addresses: [address] })),
  );
}

function portRecords(targets: readonly Target[], question: Question): Records {
  const weight = Math.max(1, Math.floor(100 / Math.max(1, targets.length)));
  const additionals = new Map<string, readonly Answer[]>();
  for (const { name, addresses } of targets) {
    // Two endpoints may share a hostname: then the name has both addresses.
    const known = additionals.get(name) ?? [];
    const more = addressRecords({ name, type: "ANY" }, addresses);
    additionals.set(name, [...known, ...more.filter((one) => !known.some((other) => sameData(one, other)))]);
  }
  return {
    answers: targets.map(({ name, port }) => ({
      ...owner(question),
      type: "SRV",
      data: { priority: 0, weight, port, target: name },
    })),
    additionals: [...additionals.values()].flat(),
  };
}

function sameData(a: Answer, b: Answer): boolean {
  return "data" in a && "data" in b && a.data === b.data;
}

function reverseRecords(address: string, question: Question, index: DnsIndex, zone: ZoneSettings): Found {
  const services = index.servicesByAddress(address).map((one) => `${one.name}.${one.namespace}`);
  const endpoints = index
    .endpointsByAddress(address)
    .map(({ service, endpoint }) => `${endpoint.label}.${service.name}.${service.namespace}`);
  const names = [...services, ...endpoints];
  if (names.length === 0) return undefined;
  if (question.type !== "PTR" && question.type !== "ANY") return NO_RECORDS;
  return { answers: names.map((name) => ({ ...owner(question), type: "PTR", data: `${name}.svc.${zone.domain}` })) };
}
