// What a dynamically linked program needs from the machine it stands on: its loader, and the libraries that the loader finds.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { open } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const PT_INTERP = 3;

/** The loader that a 64-bit ELF program asks for; undefined where it is static. Rejects where the file is no such program. */
export async function programLoader(program: string): Promise<string | undefined> {
  const handle = await open(program);
  try {
    const header = Buffer.alloc(64);
    await handle.read(header, 0, 64, 0);
    if (header.toString("latin1", 0, 4) !== "\x7fELF" || header[4] !== 2)
      throw new Error(`${program} is no ELF program`);
    const offset = Number(header.readBigUInt64LE(32));
    const size = header.readUInt16LE(54);
    const segments = Buffer.alloc(size * header.readUInt16LE(56));
    await handle.read(segments, 0, segments.length, offset);
    for (let at = 0; at < segments.length; at += size) {
      if (segments.readUInt32LE(at) !== PT_INTERP) continue;
      const name = Buffer.alloc(Number(segments.readBigUInt64LE(at + 32)));
      await handle.read(name, 0, name.length, Number(segments.readBigUInt64LE(at + 8)));
      return name.toString("utf8", 0, name.length - 1);
    }
    return undefined;
  } finally {
    await handle.close();
  }
}

/** Absolute paths out of a loader's `--list`. Pure. Throws where a library was not found. */
export function parseLibraryList(text: string): string[] {
  const paths: string[] = [];
  for (const line of text.split("\n")) {
    if (line.includes("not found")) throw new Error(`a library is missing: ${line.trim()}`);
    const match = /(?:=> )?(\/\S+)(?: \(0x[0-9a-f]+\))?$/.exec(line.trim());
    if (match !== null) paths.push(match[1]!);
  }
  return paths;
}

// Old versions of glibc load these two when a name is looked up; newer ones hold them in libc.so.6.
const NAME_SERVICES = ["libnss_files.so.2", "libnss_dns.so.2", "libresolv.so.2"];

/**
 * The loader and every library of a program, as absolute paths, and the loader's name for itself. Empty for a static program.
 * Libraries that only the caller's LD_LIBRARY_PATH offers are not used: the image would not have it.
 */
export async function sharedLibraries(program: string): Promise<string[]> {
  const loader = await programLoader(program);
  if (loader === undefined) return [];
  const { LD_LIBRARY_PATH: _path, LD_PRELOAD: _preload, ...env } = process.env;
  const { stdout } = await run(loader, ["--list", program], { env });
  const found = parseLibraryList(stdout);
  const libc = found.find((file) => path.basename(file).startsWith("libc.so"));
  const beside = libc === undefined ? [] : NAME_SERVICES.map((name) => path.join(path.dirname(libc), name));
  return [...new Set([loader, ...found, ...beside.filter((file) => existsSync(file))])];
}
