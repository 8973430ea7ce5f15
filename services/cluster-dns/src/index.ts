// Names for Services, endpoints and pods.
export { createClusterDns, type ClusterDns, type ClusterDnsDeps, type ClusterDnsOptions } from "./app.ts";
export { planAnswer, type Planned, type ZoneSettings } from "./plan-answer.ts";
