// Run while the image of compose's nodes is built: writes what containerd in there needs and no registry has. The images
// that every node has, as archives, and containerd's configuration for either snapshotter.
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import { parseArgs } from "node:util";
import { ensureSandboxImages } from "@coxswain/images/system-images";
import { ensureNodePrograms } from "./node-programs.ts";
import { containerdConfig } from "./platform/containerd-config.ts";

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { dir: { type: "string", default: "/opt/coxswain" } } });
  const programs = await ensureNodePrograms(path.join(values.dir, "tools"), console.log);
  mkdirSync(values.dir, { recursive: true });
  for (const snapshotter of ["overlayfs", "native"] as const)
    writeFileSync(path.join(values.dir, `containerd-${snapshotter}.toml`), containerdConfig(programs, snapshotter));
  const cacheDir = path.join(values.dir, "images");
  const { pause, busybox } = await ensureSandboxImages({ cacheDir, programs: { busybox: programs.busybox } });
  console.log(`made ${pause.tar} and ${busybox.tar}`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
