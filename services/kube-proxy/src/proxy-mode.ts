// --proxy-mode: what is there, and what to use in place of what is not.

export const PROXY_MODES = ["simulated"] as const;
export type ProxyMode = (typeof PROXY_MODES)[number];

const INSTEAD: Readonly<Record<string, string>> = {
  nftables: "not supported yet: use simulated",
  iptables: "not supported: its updates cost what exists, not what changed; use simulated",
  ipvs: "not supported: deprecated upstream; use simulated",
  kernelspace: "not supported: Windows only; use simulated",
};

/** Throws RangeError with what to use instead. */
export function parseProxyMode(text: string): ProxyMode {
  if (text === "simulated") return text;
  throw new RangeError(`proxy mode "${text}": ${INSTEAD[text] ?? "unknown: use simulated"}`);
}
