// The CNI configuration of a node: what gives pods their addresses and links. Guarantees: a reader finds the whole file or
// none; it is written again only where it says something else.
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import path from "node:path";

const FILE = "10-coxswain.conflist";

/**
 * A link of its own to the node for each pod (ptp), so that also traffic between pods of one node passes the node's rules:
 * only then do answers through a Service's address find their way back. Nothing is masqueraded.
 */
export function planCniConfig(podCidr: string): object {
  return {
    cniVersion: "0.4.0",
    name: "coxswain",
    plugins: [
      {
        type: "ptp",
        ipMasq: false,
        ipam: {
          type: "host-local",
          dataDir: "/var/lib/cni/networks",
          ranges: [[{ subnet: podCidr }]],
          routes: [{ dst: "0.0.0.0/0" }],
        },
      },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
}

export async function writeCniConfig(dir: string, podCidr: string): Promise<void> {
  const file = path.join(dir, FILE);
  const text = `${JSON.stringify(planCniConfig(podCidr), null, 2)}\n`;
  if ((await readIfThere(file)) === text) return;
  await mkdir(dir, { recursive: true });
  // The runtime reads whatever ends like a configuration.
  const unfinished = path.join(dir, `.${FILE}.new`);
  await writeFile(unfinished, text);
  await rename(unfinished, file);
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
