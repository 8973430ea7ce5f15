// Logs of pods as files: <dir>/<namespace>_<name>_<uid>/<container>/<attempt>.log, as upstream names them, with those that
// were rotated beside them.
import { rm } from "node:fs/promises";
import path from "node:path";
import type { Pod } from "@coxswain/api";
import type { PodLogs } from "../pods/pod-logs.ts";
import { diskUsage } from "../volumes/disk-usage.ts";
import { namesIn } from "../volumes/missing-files.ts";

export function createPodLogFiles(dir: string): PodLogs {
  async function folders(): Promise<{ readonly folder: string; readonly uid: string }[]> {
    return (await namesIn(dir)).flatMap((folder) => {
      const uid = /^[^_]+_[^_]+_([^_]+)$/.exec(folder)?.[1];
      return uid === undefined ? [] : [{ folder, uid }];
    });
  }
  const folderOf = ({ metadata }: Pod, container: string): string => {
    const { namespace = "", name = "", uid = "" } = metadata ?? {};
    return path.join(dir, `${namespace}_${name}_${uid}`, container);
  };
  return {
    usage: (pod, container) => diskUsage(folderOf(pod, container)),
    async removeLife(pod, container, attempt) {
      const folder = folderOf(pod, container);
      const log = `${attempt}.log`;
      const files = (await namesIn(folder)).filter((one) => one === log || one.startsWith(`${log}.`));
      for (const file of files) await rm(path.join(folder, file), { force: true });
    },
    async remove(uid) {
      for (const one of await folders()) {
        if (one.uid === uid) await rm(path.join(dir, one.folder), { recursive: true, force: true });
      }
    },
    known: async () => (await folders()).map(({ uid }) => uid),
  };
}
