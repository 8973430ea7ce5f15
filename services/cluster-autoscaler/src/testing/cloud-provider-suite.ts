// What every CloudProvider must do. The double and the supervisor's provider, over its socket, both run it.
import { describe, expect, test } from "vitest";
import type { CloudProvider } from "../cloud-provider.ts";

export interface ProviderSubject extends AsyncDisposable {
  /** One group, "nodes", of 1 to 4, that has two running machines. */
  readonly provider: CloudProvider;
  /** Lets all machines that are being made be there. */
  finish(): Promise<void>;
  /** Lets all machines that are being made fail, for the reason given. */
  fail(message: string): Promise<void>;
}

const GROUP = "nodes";

export function cloudProviderSuite(name: string, make: () => Promise<ProviderSubject>): void {
  const running = async (provider: CloudProvider): Promise<string[]> =>
    (await provider.instances(GROUP)).filter(({ state }) => state === "running").map(({ id }) => id);
  const reasonOf = (call: Promise<unknown>): Promise<unknown> =>
    call.then(
      () => "no error",
      (error: unknown) => (error as { reason?: unknown }).reason,
    );

  describe(`the provider contract: ${name}`, () => {
    test("names its groups with their range, and the group of a node", async () => {
      await using subject = await make();
      const { provider } = subject;
      await provider.refresh();
      expect(await provider.nodeGroups()).toEqual([{ id: GROUP, minSize: 1, maxSize: 4 }]);
      expect(await provider.targetSize(GROUP)).toBe(2);
      const [first = ""] = await running(provider);
      expect(await provider.groupForNode({ providerId: first, name: "" })).toBe(GROUP);
      expect(await provider.groupForNode({ providerId: "other://machine", name: "x" })).toBeUndefined();
    });

    test("makes what was asked for: the target size at once, machines later", async () => {
      await using subject = await make();
      const { provider } = subject;
      const before = await running(provider);
      await provider.increaseSize(GROUP, 2);
      expect(await provider.targetSize(GROUP)).toBe(4);
      await subject.finish();
      const after = await running(provider);
      expect(after).toHaveLength(4);
      expect(after).toEqual(expect.arrayContaining(before));
      expect(new Set(after).size).toBe(4);
    });

    test("deletes the machines that were named, and their number", async () => {
      await using subject = await make();
      const { provider } = subject;
      const [first = "", second = ""] = await running(provider);
      await provider.deleteNodes(GROUP, [{ providerId: first, name: "" }]);
      expect(await provider.targetSize(GROUP)).toBe(1);
      expect((await provider.instances(GROUP)).map(({ id }) => id)).toEqual([second]);
    });

    test("does not leave its range, and changes nothing where it refuses", async () => {
      await using subject = await make();
      const { provider } = subject;
      const [first = "", second = ""] = await running(provider);
      const both = [first, second].map((providerId) => ({ providerId, name: "" }));
      expect(await reasonOf(provider.increaseSize(GROUP, 3))).toBe("BadRequest");
      expect(await reasonOf(provider.increaseSize(GROUP, 0))).toBe("BadRequest");
      expect(await reasonOf(provider.deleteNodes(GROUP, both))).toBe("BadRequest");
      expect(await reasonOf(provider.decreaseTargetSize(GROUP, -1))).toBe("BadRequest");
      expect(await reasonOf(provider.decreaseTargetSize(GROUP, 1))).toBe("BadRequest");
      expect(await provider.targetSize(GROUP)).toBe(2);
      expect(await running(provider)).toEqual([first, second]);
    });

    test("does not know other groups and machines", async () => {
      await using subject = await make();
      const { provider } = subject;
      expect(await reasonOf(provider.targetSize("others"))).toBe("NotFound");
      expect(await reasonOf(provider.instances("others"))).toBe("NotFound");
      const [first = ""] = await running(provider);
      const nobody = `${first}9`;
      expect(await reasonOf(provider.deleteNodes(GROUP, [{ providerId: nobody, name: nobody }]))).toBe("NotFound");
    });

    test("takes requests back that nothing came of yet", async () => {
      await using subject = await make();
      const { provider } = subject;
      await provider.increaseSize(GROUP, 2);
      await provider.decreaseTargetSize(GROUP, -1);
      expect(await provider.targetSize(GROUP)).toBe(3);
      await subject.finish();
      expect(await running(provider)).toHaveLength(3);
    });

    test("tells why a machine cannot be made, until it is deleted", async () => {
      await using subject = await make();
      const { provider } = subject;
      await provider.increaseSize(GROUP, 1);
      await subject.fail("no memory");
      const failed = (await provider.instances(GROUP)).find(({ error }) => error !== undefined);
      expect(failed).toMatchObject({ state: "creating", error: { message: "no memory" } });
      await provider.deleteNodes(GROUP, [{ providerId: failed?.id ?? "", name: "" }]);
      expect(await provider.targetSize(GROUP)).toBe(2);
    });

    test("says what a fresh node would be", async () => {
      await using subject = await make();
      const template = await subject.provider.template(GROUP);
      expect(template?.status?.allocatable).toMatchObject({ cpu: "4", memory: "8Gi", pods: "110" });
      expect(template?.metadata?.labels).toMatchObject({ "kubernetes.io/os": "linux" });
    });
  });
}
