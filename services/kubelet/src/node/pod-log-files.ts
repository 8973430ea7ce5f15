// Logs of pods as files: <dir>/<namespace>_<name>_<uid>/<container>/<attempt>.log, as upstream names them.
import { readdir, rm } from "node:fs/promises";
import path from "node:path";
import type { PodLogs } from "../pods/pod-logs.ts";

export function createPodLogFiles(dir: string): PodLogs {
  async function folders(): Promise<{ readonly folder: string; readonly uid: string }[]> {
    try {
      const names = await readdir(dir);
      return names.flatMap((folder) => {
        const uid = /^[^_]+_[^_]+_([^_]+)$/.exec(folder)?.[1];
        return uid === undefined ? [] : [{ folder, uid }];
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }
  return {
    async removeLife(pod, container, attempt) {
      const { namespace = "", name = "", uid = "" } = pod.metadata ?? {};
      await rm(path.join(dir, `${namespace}_${name}_${uid}`, container, `${attempt}.log`), { force: true });
    },
    async remove(uid) {
      for (const one of await folders()) {
        if (one.uid === uid) await rm(path.join(dir, one.folder), { recursive: true, force: true });
      }
    },
    known: async () => (await folders()).map(({ uid }) => uid),
  };
}
