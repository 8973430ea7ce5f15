// Names, addresses and packets on real nodes.
import { expect } from "vitest";
import { conformsShared } from "../conforms.ts";
import { at } from "../rest-client.ts";
import type { Part } from "./real-pods.ts";

const apiService = conformsShared("API service");

apiService("kubernetes Service has Endpoints and EndpointSlice for each API server", async ({ api }) => {
  const endpoints = await api.resource("v1", "endpoints", "default").get("kubernetes");
  const subset = at<{ addresses: { ip: string }[]; ports: { port: number }[] }>(endpoints, "subsets.0");
  const port = subset?.ports[0]?.port;
  expect(port).toBeGreaterThan(0);
  expect(subset?.ports).toEqual([{ name: "https", port, protocol: "TCP" }]);
  expect(subset?.addresses).toHaveLength(1);
  const { items } = await api
    .resource("discovery.k8s.io/v1", "endpointslices", "default")
    .list({ labelSelector: "kubernetes.io/service-name=kubernetes" });
  expect(items).toHaveLength(1);
  expect(items[0]).toMatchObject({ addressType: "IPv4", ports: [{ name: "https", port, protocol: "TCP" }] });
  const slice = at<Part[]>(items[0], "endpoints") ?? [];
  expect(slice).toHaveLength(1);
  expect(slice[0]).toMatchObject({ addresses: [subset?.addresses[0]?.ip], conditions: { ready: true } });
});
