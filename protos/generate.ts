// Turns the .proto files into committed TypeScript: the wire schema (src/schema.gen.ts),
// descriptors for reflection (src/descriptors.gen.ts) and message types
// (src/<package>.gen.ts, src/services.gen.ts). Run `node protos/generate.ts` after every change of a contract.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { schemaModule } from "./codegen-schema.ts";
import { descriptorModule, messageModules, servicesModule, type FileDescriptor } from "./codegen.ts";

const root = dirname(fileURLToPath(import.meta.url));
export const bufBinary = join(root, "..", "node_modules", ".bin", "buf");

function build(format: "json" | "binpb"): Buffer {
  const args = ["build", root, "--as-file-descriptor-set", "--exclude-source-info", "-o", `-#format=${format}`];
  return execFileSync(bufBinary, args, { maxBuffer: 64 << 20, stdio: ["ignore", "pipe", "inherit"] });
}

/** All generated files by their name under src, as they should be. Throws where buf finds an error. */
export function generate(): Map<string, string> {
  const files = (JSON.parse(build("json").toString("utf8")) as { file: FileDescriptor[] }).file;
  const out = messageModules(files);
  out.set("services.gen.ts", servicesModule(files));
  out.set("schema.gen.ts", schemaModule(files));
  out.set("descriptors.gen.ts", descriptorModule(files, build("binpb")));
  return out;
}

/** Names of generated files that differ from what `generate` makes, or should not be there. */
export function outdated(): string[] {
  const wanted = generate();
  const src = join(root, "src");
  const present = readdirSync(src).filter((name) => name.endsWith(".gen.ts"));
  const stale = present.filter((name) => readFileSync(join(src, name), "utf8") !== wanted.get(name));
  const missing = [...wanted.keys()].filter((name) => !present.includes(name));
  return [...stale, ...missing];
}

if (import.meta.main) {
  const src = join(root, "src");
  const files = generate();
  for (const name of readdirSync(src)) {
    if (name.endsWith(".gen.ts") && !files.has(name)) rmSync(join(src, name));
  }
  for (const [name, text] of files) writeFileSync(join(src, name), text);
  process.stdout.write(`protos: wrote ${files.size} files\n`);
}
