// The files behind the records of pulled images, where upstream's kubelet keeps its own: an intent is written before an image is
// pulled, a record once it is there. Guarantee: a file is whole or not there.
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Logger } from "@coxswain/component-base";
import type { PullRecordStore } from "./pull-manager.ts";
import type { PulledRecord } from "./pull-records.ts";

const API_VERSION = "kubelet.config.k8s.io/v1beta1";
const PREFIX = "sha256-";
const UNFINISHED = ".tmp";

const fileOf = (name: string): string => PREFIX + createHash("sha256").update(name).digest("hex");

/** `folder` is "image_manager" in the kubelet's own folder. */
export function createPullRecordFiles(folder: string, logger: Logger): PullRecordStore {
  const pulling = path.join(folder, "pulling");
  const pulled = path.join(folder, "pulled");

  async function write(place: string, name: string, content: object): Promise<void> {
    await mkdir(place, { recursive: true, mode: 0o700 });
    const target = path.join(place, fileOf(name));
    await writeFile(target + UNFINISHED, JSON.stringify(content), { mode: 0o600 });
    await rename(target + UNFINISHED, target);
  }

  /** What cannot be read counts as not there: the image is then verified anew, and never collected. */
  async function read<T>(place: string): Promise<T[]> {
    const found: T[] = [];
    for (const name of await namesIn(place)) {
      if (!name.startsWith(PREFIX) || name.endsWith(UNFINISHED)) continue;
      try {
        found.push(JSON.parse(await readFile(path.join(place, name), "utf8")) as T);
      } catch (error) {
        logger.error({ err: error, file: path.join(place, name) }, "a record of a pulled image cannot be read");
      }
    }
    return found;
  }

  return {
    async load() {
      const intents = await read<{ image: string }>(pulling);
      const records = await read<PulledRecord>(pulled);
      return { intents: intents.map(({ image }) => image), records };
    },
    writeIntent: (image) => write(pulling, image, { kind: "ImagePullIntent", apiVersion: API_VERSION, image }),
    removeIntent: (image) => rm(path.join(pulling, fileOf(image)), { force: true }),
    writeRecord: (record) =>
      write(pulled, record.imageRef, { kind: "ImagePulledRecord", apiVersion: API_VERSION, ...record }),
    removeRecord: (imageRef) => rm(path.join(pulled, fileOf(imageRef)), { force: true }),
  };
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
