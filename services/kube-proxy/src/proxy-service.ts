// coxswain.proxy.v1.Proxy: what a person may ask a proxy about its nodes.
import { newBadRequest } from "@coxswain/apimachinery";
import type { GrpcService } from "@coxswain/component-base";
import { implementService } from "@coxswain/component-base/grpc-service";
import type { RuleInput } from "@coxswain/protos/proxy-v1.gen";
import { isIP } from "node:net";
import type { Syncer } from "./app.ts";
import type { Protocol, ProxyRule } from "./planner/rule.ts";

function isProtocol(text: string): text is Protocol {
  return text === "TCP" || text === "UDP" || text === "SCTP";
}

function toMessage(rule: ProxyRule): RuleInput {
  return {
    namespace: rule.namespace,
    service: rule.service,
    portName: rule.portName,
    protocol: rule.protocol,
    type: rule.type,
    ip: rule.ip,
    port: rule.port,
    affinitySeconds: rule.affinitySeconds,
    endpoints: rule.endpoints,
  };
}

/** The service over a running proxy. */
export function proxyService(syncer: Syncer): GrpcService {
  return implementService("coxswain.proxy.v1.Proxy", {
    listRules: async ({ namespace, service, node }) => {
      const proxier = await syncer.proxierOf(node);
      const rules = await proxier.backend.rules();
      return {
        rules: rules
          .filter(
            (rule) =>
              (namespace === "" || rule.namespace === namespace) && (service === "" || rule.service === service),
          )
          .map(toMessage),
        generation: proxier.generation,
      };
    },
    resolve: async ({ ip, port, protocol, clientIp, node }) => {
      const wanted = protocol === "" ? "TCP" : protocol.toUpperCase();
      if (isIP(ip) === 0) throw newBadRequest(`ip: Invalid value: "${ip}": must be a valid IP address`);
      if (clientIp !== "" && isIP(clientIp) === 0) {
        throw newBadRequest(`clientIp: Invalid value: "${clientIp}": must be a valid IP address`);
      }
      if (!isProtocol(wanted)) {
        throw newBadRequest(`protocol: Unsupported value: "${protocol}": supported values: "SCTP", "TCP", "UDP"`);
      }
      const proxier = await syncer.proxierOf(node);
      const found = await proxier.backend.resolve({
        sourceIp: clientIp,
        destinationIp: ip,
        protocol: wanted,
        port,
      });
      return {
        verdict: found.verdict,
        masquerade: found.masquerade,
        ...(found.endpoint === undefined ? {} : { chosen: found.endpoint }),
        ...(found.rule === undefined ? {} : { rule: toMessage(found.rule) }),
      };
    },
    sync: async () => {
      await syncer.sync(true);
      const rules = syncer.first.rules();
      const endpoints = new Set(rules.flatMap((rule) => rule.endpoints.map((one) => `${one.ip} ${one.port}`)));
      return {
        generation: syncer.first.generation,
        services: syncer.first.serviceCount,
        endpoints: endpoints.size,
      };
    },
  });
}
