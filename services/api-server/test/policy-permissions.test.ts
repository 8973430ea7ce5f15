// Whoever writes admission policies that take parameters, and their bindings, must be allowed to read the parameters.
import { kindFor, kindForGvk, type KindDefinition } from "@coxswain/api";
import type { KubeObject } from "@coxswain/apimachinery";
import { describe, expect, test } from "vitest";
import { createPolicyPermissions } from "../src/admission/policy-permissions.ts";
import type { KindSource } from "../src/extensions/kind-source.ts";
import type { AuthorizationAttributes } from "../src/pipeline/contract.ts";
import type { AdmissionAttributes, ObjectSource } from "../src/pipeline/extension.ts";

const GROUP = "admissionregistration.k8s.io";
const kindOf = (resource: string): KindDefinition => kindFor({ group: GROUP, version: "v1", resource })!;
const POLICIES = kindOf("validatingadmissionpolicies");
const BINDINGS = kindOf("validatingadmissionpolicybindings");
const SECRETS = { apiVersion: "v1", kind: "Secret" };

interface Case {
  readonly kind: KindDefinition;
  readonly spec: object;
  readonly old?: object;
  /** The policy that a binding is of. */
  readonly policy?: object;
  readonly groups?: readonly string[];
  readonly allowed?: boolean;
}

async function ask({ kind, spec, old, policy, groups = [], allowed = false }: Case) {
  const asked: AuthorizationAttributes[] = [];
  const object = (of: object): KubeObject => ({ metadata: { name: "x" }, spec: of }) as KubeObject;
  const source = {
    get: (_: unknown, __: string, name: string) =>
      policy !== undefined && name === "p" ? { object: object(policy) } : undefined,
  } as unknown as ObjectSource;
  const plugin = createPolicyPermissions({
    source,
    authorizer: {
      authorize(attributes) {
        asked.push(attributes);
        return { allowed, reason: "" };
      },
    },
    kinds: () => ({ kindForGvk }) as unknown as KindSource,
  });
  const attributes = {
    kind,
    name: "x",
    operation: old === undefined ? "CREATE" : "UPDATE",
    subresource: "",
    object: object(spec),
    old: old && object(old),
    request: { user: { username: "alice", groups } },
  } as unknown as AdmissionAttributes;
  let error = "";
  try {
    await plugin.validate?.(attributes);
  } catch (thrown) {
    error = (thrown as Error).message;
  }
  const shown = asked.map(
    (one) => `${one.verb} ${one.group}/${one.version} ${one.resource} ${one.namespace}/${one.name}`,
  );
  return { asked: shown, error };
}

describe("a policy", () => {
  test("with parameters asks to read all of their kind", async () => {
    expect(await ask({ kind: POLICIES, spec: { paramKind: SECRETS }, groups: ["team"] })).toEqual({
      asked: ["get /v1 secrets */*"],
      error:
        'ValidatingAdmissionPolicy.admissionregistration.k8s.io "x" is invalid: spec.paramKind: Forbidden: user &{alice  [team] map[]} must have "get" permission on all objects of the referenced paramKind (kind=Secret, apiVersion=v1)',
    });
    expect(await ask({ kind: POLICIES, spec: { paramKind: SECRETS }, allowed: true })).toMatchObject({ error: "" });
  });
  test("asks about any resource where nobody knows its kind", async () => {
    const spec = { paramKind: { apiVersion: "example.com/v1", kind: "Unknown" } };
    expect((await ask({ kind: POLICIES, spec })).asked).toEqual(["get example.com/v1 * */*"]);
  });
  test("asks nothing where it takes none, or the same as before, or where the writer may do everything", async () => {
    const spec = { paramKind: SECRETS };
    for (const one of [
      { kind: POLICIES, spec: {} },
      { kind: POLICIES, spec, old: spec },
      { kind: POLICIES, spec, groups: ["system:masters"] },
    ]) {
      expect(await ask(one)).toEqual({ asked: [], error: "" });
    }
  });
});

describe("a binding", () => {
  const policy = { paramKind: SECRETS };
  const byName = { policyName: "p", paramRef: { name: "token", namespace: "kube-system" } };
  test("asks to read what it names", async () => {
    expect(await ask({ kind: BINDINGS, spec: byName, policy })).toEqual({
      asked: ["get /v1 secrets kube-system/token"],
      error:
        'ValidatingAdmissionPolicyBinding.admissionregistration.k8s.io "x" is invalid: spec.paramRef: Forbidden: user &{alice  [] map[]} does not have "get" permission on the object referenced by paramRef',
    });
  });
  test("asks to list what it selects", async () => {
    const spec = { policyName: "p", paramRef: { selector: {} } };
    expect((await ask({ kind: BINDINGS, spec, policy })).asked).toEqual(["list /v1 secrets /"]);
  });
  test("of a policy that is not there asks about everything", async () => {
    const { asked, error } = await ask({ kind: BINDINGS, spec: byName });
    expect(asked).toEqual(["get */* * kube-system/token"]);
    expect(error).toContain(
      "unable to get policy p to determine minimum required permissions and user &{alice  [] map[]}",
    );
  });
  test("asks nothing where nothing has changed", async () => {
    expect(await ask({ kind: BINDINGS, spec: byName, old: byName, policy })).toEqual({ asked: [], error: "" });
  });
});
