// --authorization-mode and --authorization-webhook-*: who decides then, and what is refused.
import { Command } from "commander";
import { describe, expect, test } from "vitest";
import { addAuthorizationFlags, authorizersOf } from "../src/auth/authorization-config/flags.ts";
import { startTestServer } from "./support/test-server.ts";

/** What a command line comes to. */
function authorizersBy(...line: string[]): ReturnType<typeof authorizersOf> {
  const command = new Command().exitOverride().configureOutput({ writeErr: () => {} });
  addAuthorizationFlags(command);
  return authorizersOf(command.parse(line, { from: "user" }).opts());
}

const HOOK = "--authorization-webhook-config-file=/etc/hook.conf";
const webhook = {
  authorizedTtlMs: 300_000,
  unauthorizedTtlMs: 30_000,
  timeoutMs: 30_000,
  reviewVersion: "v1beta1",
  failurePolicy: "NoOpinion",
  kubeconfigFile: "/etc/hook.conf",
  conditions: [],
};

describe("flags of authorization", () => {
  test.each([
    [[], undefined],
    [["--authorization-config=/a"], undefined],
    [["--authorization-mode="], ["node", "rbac"]],
    [["--authorization-mode=RBAC"], ["rbac"]],
    [
      ["--authorization-mode=Node,RBAC", "--authorization-mode=AlwaysDeny"],
      ["node", "rbac", "alwaysdeny"],
    ],
  ])("%j", (line, names) => {
    expect(authorizersBy(...line)?.map(({ name }) => name)).toEqual(names);
  });

  test("a webhook has upstream's settings, or those that are said", () => {
    expect(authorizersBy("--authorization-mode=Node,Webhook", HOOK)).toEqual([
      { type: "Node", name: "node" },
      { type: "Webhook", name: "default", webhook },
    ]);
    const said = authorizersBy(
      "--authorization-mode=Webhook",
      HOOK,
      "--authorization-webhook-version=v1",
      "--authorization-webhook-cache-authorized-ttl=1m30s",
      "--authorization-webhook-cache-unauthorized-ttl=0s",
    );
    const own = { ...webhook, reviewVersion: "v1", authorizedTtlMs: 90_000, unauthorizedTtlMs: 0 };
    expect(said).toEqual([{ type: "Webhook", name: "default", webhook: own }]);
  });

  const EXCLUSIVE =
    "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined";
  test.each([
    [["--authorization-config=/a", "--authorization-mode=RBAC"], EXCLUSIVE],
    [["--authorization-config=/a", "--authorization-webhook-version=v1"], EXCLUSIVE],
    [["--authorization-mode=Foo"], 'authorization-mode "Foo" is not a valid mode'],
    [
      ["--authorization-mode=RBAC,RBAC,rbac"],
      '[authorization-mode "rbac" is not a valid mode, authorization-mode ["RBAC" "RBAC" "rbac"] has mode specified more than once]',
    ],
    [["--authorization-mode=Webhook"], "authorization-mode Webhook's authorization config file not passed"],
    [[HOOK], "cannot specify --authorization-webhook-config-file without mode Webhook"],
    [
      ["--authorization-mode=Webhook", HOOK, "--authorization-webhook-version=v2"],
      'unsupported webhook authorizer version "v2", supported versions are "v1", "v1beta1"',
    ],
    [["--authorization-policy-file=/p"], "cannot specify --authorization-policy-file without mode ABAC"],
    [["--authorization-mode=ABAC"], "authorization-mode ABAC's authorization policy file not passed"],
    [["--authorization-mode=ABAC", "--authorization-policy-file=/p"], "authorization-mode ABAC is not supported"],
  ])("%j is refused", (line, message) => {
    expect(() => authorizersBy(...line)).toThrow(expect.objectContaining({ message }));
  });

  test("a time that is none is refused", () => {
    expect(() => authorizersBy("--authorization-webhook-cache-authorized-ttl=soon")).toThrow(
      'time: invalid duration "soon"',
    );
  });
});

test("an api-server asks just those that are named", async () => {
  const server = await startTestServer(["ServiceAccount"], {
    authorizers: authorizersBy("--authorization-mode=AlwaysDeny"),
  });
  const { authorizer } = server.component.server;
  const about = { verb: "get", group: "", resource: "pods", subresource: "", namespace: "a", name: "x" };
  const user = { username: "system:kube-scheduler", groups: ["system:authenticated"] };
  expect(await authorizer?.authorize({ ...about, user })).toMatchObject({
    allowed: false,
    reason: "Everything is forbidden.",
  });
  await server.close();
});
