// Writes files as one uncompressed layer: the same files give the same bytes, whatever their times and owners were.
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { Transform } from "node:stream";
import { pack, type Header, type Pack } from "tar-stream";
import { orderFiles, type ImageFile } from "./image-file.ts";
import { LAYER_TYPE, type Descriptor } from "./oci.ts";

const EPOCH = new Date(0);

/** Writes the layer to `out`. Rejects where a copied file changes its size meanwhile. */
export async function writeLayer(files: readonly ImageFile[], out: string): Promise<Descriptor> {
  const tar = pack();
  const hash = createHash("sha256");
  let size = 0;
  const digesting = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk);
      size += chunk.length;
      done(null, chunk);
    },
  });
  const written = pipeline(tar, digesting, createWriteStream(out));
  const filled = addAll(tar, orderFiles(files)).catch((error: unknown) => {
    tar.destroy(error as Error);
    throw error;
  });
  const [first] = (await Promise.allSettled([filled, written])).filter((one) => one.status === "rejected");
  if (first !== undefined) throw first.reason;
  return { mediaType: LAYER_TYPE, digest: `sha256:${hash.digest("hex")}`, size };
}

async function addAll(tar: Pack, files: readonly ImageFile[]): Promise<void> {
  for (const file of files) {
    if (file.kind === "copy" && file.size > 0) await addCopy(tar, file);
    else await addSmall(tar, file);
  }
  tar.finalize();
}

function headersOf(file: ImageFile): Partial<Header> & Pick<Header, "name"> {
  const common = { name: file.path, mode: file.mode, mtime: EPOCH, uid: 0, gid: 0, uname: "", gname: "" };
  if (file.kind === "directory") return { ...common, name: `${file.path}/`, type: "directory", size: 0 };
  if (file.kind === "symlink") return { ...common, type: "symlink", linkname: file.target, size: 0 };
  return { ...common, type: "file", size: file.kind === "bytes" ? file.bytes.length : file.size };
}

function addSmall(tar: Pack, file: ImageFile): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: Error | null): void => (error ? reject(error) : resolve());
    if (file.kind === "bytes") tar.entry(headersOf(file), file.bytes, done);
    else tar.entry(headersOf(file), done);
  });
}

async function addCopy(tar: Pack, file: ImageFile & { kind: "copy" }): Promise<void> {
  const entry = tar.entry(headersOf(file));
  // A file that has grown must not overrun its header: read just what was promised.
  await pipeline(createReadStream(file.source, { end: file.size - 1, highWaterMark: 1 << 20 }), entry);
}
