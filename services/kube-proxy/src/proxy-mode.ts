// --proxy-mode: what is there, and what to use in place of what is not.
import { existsSync } from "node:fs";

export const PROXY_MODES = ["simulated", "nftables"] as const;
export type ProxyMode = (typeof PROXY_MODES)[number];

function ipvsLacks(): string {
  const here = existsSync("/proc/net/ip_vs") ? "" : ", which this kernel lacks";
  return `it needs the kernel's IP Virtual Server (CONFIG_IP_VS)${here}, and upstream has deprecated it`;
}

const WHY: Readonly<Record<string, () => string>> = {
  iptables: () => "its updates cost what exists, not what changed",
  ipvs: ipvsLacks,
  kernelspace: () => "Windows only",
};

/** Throws RangeError with what to use instead. */
export function parseProxyMode(text: string): ProxyMode {
  const known = PROXY_MODES.find((mode) => mode === text);
  if (known !== undefined) return known;
  const why = WHY[text]?.();
  const instead =
    why === undefined ? `unknown: use ${PROXY_MODES.join(" or ")}` : `not supported: ${why}; use nftables`;
  throw new RangeError(`proxy mode "${text}": ${instead}`);
}
