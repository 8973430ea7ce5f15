// The rules of a node in its kernel. Guarantees: each call is one transaction of nftables, in which a packet meets all of the
// old rules or all of the new ones; what cannot be written leaves the old ones in place, and nothing here removes them when
// the process ends. What rules() and resolve() say is read from the kernel.
import type { Env } from "@coxswain/env";
import { isIPv4 } from "node:net";
import type { ProxyRule } from "../../planner/rule.ts";
import { ruleKey } from "../../planner/rule.ts";
import type { Packet, ProxyBackend, Resolution } from "../contract.ts";
import {
  deleteFlowArgs,
  type FlowProtocol,
  listFlowsArgs,
  losesEndpoint,
  parseFlows,
  staleFlows,
} from "./conntrack.ts";
import {
  emptyInstalled,
  planAddresses,
  planChange,
  planFull,
  type Installed,
  type PlanSettings,
  type Transaction,
} from "./plan.ts";
import { findDamage, parseTable, rulesFrom, type KernelTable } from "./read-back.ts";
import { resolveInKernel } from "./resolve.ts";
import { ProgramError, type RunProgram } from "./run-program.ts";
import { DEFAULT_MASQUERADE_BIT, TABLE } from "./table.ts";

export interface NftablesBackendOptions {
  readonly env: Env;
  readonly nodeName: string;
  /** Runs nft and conntrack in the node's network namespace. */
  readonly run: RunProgram;
  /** Where pods have their addresses; IPv6 ones are left out. Empty: nobody counts as an outsider. */
  readonly clusterCidrs?: readonly string[];
  /** One bit of packets' marks that nobody else on the node uses. */
  readonly masqueradeBit?: number;
}

/** An argument may have 128 KiB; more goes through a pipe. */
const ARGUMENT_BYTES = 65_536;

/** The backend of one node. The table is made by the first `sync`. */
export function createNftablesBackend(options: NftablesBackendOptions): ProxyBackend {
  return new NftablesBackend(options);
}

class NftablesBackend implements ProxyBackend {
  readonly #env: Env;
  readonly #run: RunProgram;
  readonly #settings: PlanSettings;
  #installed: Installed | undefined;
  #addresses: readonly string[] = [];

  constructor({ env, run, nodeName, clusterCidrs = [], masqueradeBit }: NftablesBackendOptions) {
    this.#env = env;
    this.#run = run;
    this.#settings = {
      nodeName,
      clusterCidrs: clusterCidrs.filter((cidr) => !cidr.includes(":")),
      masqueradeBit: masqueradeBit ?? DEFAULT_MASQUERADE_BIT,
    };
  }

  async sync(rules: readonly ProxyRule[]): Promise<void> {
    await this.#env.failpoints.hit("proxy.sync");
    const affinity = await this.#affinity();
    const { text, installed } = planFull(rules, this.#addresses, this.#settings, affinity);
    await this.#nft(text);
    const before = this.#installed?.rules.values() ?? [];
    this.#installed = installed;
    await this.#endStaleFlows("TCP", [...before, ...rules]);
    await this.#endStaleFlows("UDP", [...before, ...rules]);
  }

  async apply(change: Parameters<ProxyBackend["apply"]>[0]): Promise<void> {
    await this.#env.failpoints.hit("proxy.apply");
    const installed = this.#mustBeInstalled();
    const before = [...change.removals, ...change.upserts.map((rule) => rule.key)].flatMap(
      (key) => installed.rules.get(key) ?? [],
    );
    await this.#write(planChange(installed, change, this.#settings));
    const left = before.filter((rule) => losesEndpoint(rule, installed.rules.get(rule.key)));
    await this.#endStaleFlows("TCP", left);
    await this.#endStaleFlows("UDP", [...before, ...change.upserts]);
  }

  async setNodeAddresses(addresses: readonly string[]): Promise<void> {
    this.#addresses = addresses.filter((ip) => isIPv4(ip) && !ip.startsWith("127."));
    if (this.#installed === undefined) return;
    await this.#write(planAddresses(this.#installed, this.#addresses, this.#settings));
  }

  async rules(): Promise<ProxyRule[]> {
    const table = await this.#table();
    const installed = this.#installed ?? emptyInstalled(this.#addresses);
    return table === undefined ? [] : rulesFrom(table, installed, this.#settings);
  }

  async damage(): Promise<string | undefined> {
    if (this.#installed === undefined) return undefined;
    const table = await this.#table();
    return table === undefined ? "the table is missing" : findDamage(table, this.#installed, this.#settings);
  }

  async resolve(packet: Packet): Promise<Resolution> {
    const { rules, addresses } = this.#mustBeInstalled();
    const exact = rules.get(ruleKey("IPv4", packet.destinationIp, packet.protocol, packet.port));
    const nodePort = addresses.includes(packet.destinationIp)
      ? rules.get(ruleKey("IPv4", "", packet.protocol, packet.port))
      : undefined;
    return resolveInKernel(packet, {
      nft: (text, asJson = false) => this.#run("nft", asJson ? ["-j", text] : [text]),
      written: exact ?? nodePort,
      addresses,
      clusterCidrs: this.#settings.clusterCidrs,
      chooseIndex: (count) => this.#env.random.int(count),
    });
  }

  #mustBeInstalled(): Installed {
    if (this.#installed === undefined) throw new Error("nftables: sync has not been called");
    return this.#installed;
  }

  async #write(transaction: Transaction): Promise<void> {
    if (transaction.text !== "") await this.#nft(transaction.text);
    transaction.commit();
  }

  async #nft(text: string): Promise<void> {
    if (text.length < ARGUMENT_BYTES) await this.#run("nft", [text]);
    else await this.#run("nft", ["-f", "-"], text);
  }

  /** Undefined where the table is not there. */
  async #table(): Promise<KernelTable | undefined> {
    return this.#list(`list table ip ${TABLE}`);
  }

  async #list(what: string): Promise<KernelTable | undefined> {
    try {
      return parseTable(await this.#run("nft", ["-j", what]));
    } catch (error) {
      if (error instanceof ProgramError && error.stderr.includes("No such file or directory")) return undefined;
      throw error;
    }
  }

  /** Clients that have an endpoint keep it when the table is made anew, also by another process. */
  async #affinity(): Promise<readonly string[]> {
    return (await this.#list(`list map ip ${TABLE} affinity`))?.affinity ?? [];
  }

  /** Ends the stale flows among those that these rules are for, whatever they were and are. */
  async #endStaleFlows(protocol: FlowProtocol, rules: readonly ProxyRule[]): Promise<void> {
    const touched = new Set(rules.filter((rule) => rule.protocol === protocol).map((rule) => rule.key));
    if (touched.size === 0) return;
    const flows = parseFlows(protocol, await this.#run("conntrack", listFlowsArgs(protocol)));
    const { rules: placed, addresses } = this.#mustBeInstalled();
    for (const flow of staleFlows(flows, touched, addresses, (key) => placed.get(key))) {
      await this.#endFlow(deleteFlowArgs(flow));
    }
  }

  async #endFlow(args: readonly string[]): Promise<void> {
    try {
      await this.#run("conntrack", args);
    } catch (error) {
      // It may have ended by itself: conntrack then says that it deleted none.
      if (!(error instanceof ProgramError) || !error.stderr.includes("0 flow entries")) throw error;
    }
  }
}
