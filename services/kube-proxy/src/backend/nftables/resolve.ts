// Where the kernel's tables send a packet, asked of them element by element, so that it costs the same however many there
// are. Takes part in affinity: it remembers and refreshes a client's endpoint in the kernel's own map.
import type { ProxyRule } from "../../planner/rule.ts";
import type { Packet, Resolution } from "../contract.ts";
import { inRange } from "../ip-ranges.ts";
import { slotText, vipKey } from "./elements.ts";
import { endpointFrom, parseTable } from "./read-back.ts";
import { ProgramError } from "./run-program.ts";
import { parseShape, type Shape } from "./shape.ts";
import { INSIDE_OFFSET, TABLE } from "./table.ts";

export interface KernelQuestion {
  /** Runs nft's commands and resolves with what they print. */
  readonly nft: (text: string, asJson?: boolean) => Promise<string>;
  /** The rule that was written for the packet, for what the kernel does not know. */
  readonly written: ProxyRule | undefined;
  readonly addresses: readonly string[];
  readonly clusterCidrs: readonly string[];
  /** In 0..count-1. */
  readonly chooseIndex: (count: number) => number;
}

const ELEMENTS = /elements = \{([^}]*)\}/;

/** The value of an element, "" in a set, undefined where there is none. */
async function getElement(ask: KernelQuestion, set: string, key: string): Promise<string | undefined> {
  let text: string;
  try {
    text = await ask.nft(`get element ip ${TABLE} ${set} { ${key} }`);
  } catch (error) {
    if (error instanceof ProgramError && error.stderr.includes("No such file or directory")) return undefined;
    throw error;
  }
  const element = ELEMENTS.exec(text)?.[1] ?? "";
  const at = element.indexOf(" : ");
  return at < 0 ? "" : element.slice(at + 3).trim();
}

async function isKeptOut(ask: KernelQuestion, vip: string, source: string): Promise<boolean> {
  if (source === "" || (await getElement(ask, "firewall", vip)) === undefined) return false;
  const listed = parseTable(await ask.nft(`list set ip ${TABLE} firewall-allowed`, true));
  const prefix = `${vip} . `;
  const ranges = [...(listed.sets.get("firewall-allowed")?.keys() ?? [])]
    .filter((key) => key.startsWith(prefix))
    .map((key) => key.slice(prefix.length));
  return !inRange(source, ranges);
}

function classToSlot(text: string): string {
  const [major = "0", minor = "0"] = text.split(":");
  return slotText(Number.parseInt(major, 16) * 65_536 + Number.parseInt(minor, 16));
}

/** The endpoint for a new connection of a client that affinity holds for, as "address . port". */
async function chooseSticky(
  ask: KernelQuestion,
  vip: string,
  source: string,
  index: number,
  seconds: number,
): Promise<string | undefined> {
  const client = `${source} . ${vip}`;
  const remember = (slot: string): string =>
    `add element ip ${TABLE} affinity { ${client} timeout ${seconds}s : ${slot} }`;
  const known = await getElement(ask, "affinity", client);
  const forget = known === undefined ? "" : `delete element ip ${TABLE} affinity { ${client} }; `;
  if (known !== undefined) {
    const slot = classToSlot(known);
    const held = await getElement(ask, "slots", `${vip} . ${slot}`);
    if (held !== undefined) {
      await ask.nft(forget + remember(slot));
      return held;
    }
  }
  const choice = await getElement(ask, "choices", `${vip} . ${index}`);
  if (choice === undefined) return undefined;
  const slot = classToSlot(choice);
  await ask.nft(forget + remember(slot));
  return getElement(ask, "slots", `${vip} . ${slot}`);
}

function masquerades(shape: Shape, isInside: boolean, isPod: boolean, packet: Packet, endpoint: string): boolean {
  if (packet.sourceIp === endpoint || (isInside && shape.inside !== undefined)) return true;
  if (shape.masquerade === "outsiders") return packet.sourceIp !== "" && !isPod;
  return shape.masquerade === "always";
}

/** Where the first packet of a connection goes. Rejects with ProgramError where nft fails. */
export async function resolveInKernel(packet: Packet, ask: KernelQuestion): Promise<Resolution> {
  const vip = vipKey(packet.destinationIp, packet.protocol, packet.port);
  const rule = ask.written === undefined ? {} : { rule: ask.written };
  if (await isKeptOut(ask, vip, packet.sourceIp)) return { verdict: "DROP", ...rule, masquerade: false };
  const chain = await getElement(ask, "services", vip);
  const shape = chain === undefined ? undefined : parseShape(chain.replace("goto ", ""));
  const isPod = inRange(packet.sourceIp, ask.clusterCidrs);
  const isInside = isPod || ask.addresses.includes(packet.sourceIp);
  const inside = isInside && shape?.inside !== undefined;
  const count = inside ? (shape?.inside ?? 0) : (shape?.endpoints ?? 0);
  if (shape === undefined || count === 0) {
    const verdict = await getElement(ask, "untranslated", vip);
    if (verdict === undefined) return { verdict: "PASS", masquerade: false };
    return { verdict: verdict === "goto discard" ? "DROP" : "REJECT", ...rule, masquerade: false };
  }
  const index = ask.chooseIndex(count) + (inside ? INSIDE_OFFSET : 0);
  const sticky = shape.affinitySeconds > 0 && packet.sourceIp !== "";
  const found = sticky
    ? await chooseSticky(ask, vip, packet.sourceIp, index, shape.affinitySeconds)
    : await getElement(ask, "endpoints", `${vip} . ${index}`);
  if (found === undefined) return { verdict: "DROP", ...rule, masquerade: false };
  const endpoint = endpointFrom(found, ask.written);
  const masquerade = masquerades(shape, isInside, isPod, packet, endpoint.ip);
  return { verdict: "DNAT", endpoint, ...rule, masquerade };
}
