// What a kubelet says of volumes whose attachments it cannot read.
import { describe, expect, test } from "vitest";
import { attachmentName } from "@coxswain/api/core-v1/persistent-volume/attachable";
import { newForbidden, newInternalError } from "@coxswain/apimachinery";
import type { ObjectCache } from "../src/pods/object-cache.ts";
import { attachProblems } from "../src/volumes/attached-volumes.ts";

const attachments = { group: "storage.k8s.io", resource: "volumeattachments" };
const attachable = {
  name: "data",
  uniqueName: "kubernetes.io/csi/d.example.com^h",
  volume: { metadata: { name: "pv" }, spec: { csi: { driver: "d.example.com", volumeHandle: "h" } } },
} as unknown as Parameters<typeof attachProblems>[0][number];
const failing = (error: Error) => {
  const volumeAttachment = async (): Promise<never> => {
    throw error;
  };
  return { volumeAttachment } as unknown as ObjectCache;
};

describe("an attachment", () => {
  test("that the api-server does not tell of is a problem of the volume", async () => {
    const name = attachmentName("d.example.com", "h", "n1");
    const refusal = newForbidden(attachments, name, "no relationship found between node 'n1' and this object");
    expect(await attachProblems([attachable], "n1", failing(refusal))).toEqual([
      `MountVolume.WaitForAttach failed for volume "pv" : volume h has GET error for volume attachment ${name}: ${refusal.message}`,
    ]);
  });

  test("of which nobody can be asked is asked for again", async () => {
    await expect(attachProblems([attachable], "n1", failing(newInternalError("gone")))).rejects.toThrow("gone");
  });
});
