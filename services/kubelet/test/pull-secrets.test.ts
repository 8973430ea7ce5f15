// Which credentials of a pod's pull secrets are for an image.
import type { Secret } from "@coxswain/api";
import { describe, expect, test } from "vitest";
import { credentialsFor } from "../src/pods/pull-secrets.ts";

const base64 = (text: string): string => Buffer.from(text).toString("base64");
const json = (auths: Record<string, object>): Secret => ({
  type: "kubernetes.io/dockerconfigjson",
  data: { ".dockerconfigjson": base64(JSON.stringify({ auths })) },
});
const cfg = (auths: Record<string, object>): Secret => ({
  type: "kubernetes.io/dockercfg",
  data: { ".dockercfg": base64(JSON.stringify(auths)) },
});
const user = (username: string) => ({ username, password: "p" });
const users = (image: string, ...secrets: Secret[]): string[] =>
  credentialsFor(image, secrets).map(({ auth }) => auth.username);

describe("credentials", () => {
  test.each([
    ["quay.io", "quay.io/a/b:1", true],
    ["https://quay.io/v2/", "quay.io/a/b", true],
    ["http://quay.io", "quay.io/a/b", true],
    ["quay.io/a", "quay.io/a/b", true],
    ["quay.io/c", "quay.io/a/b", false],
    ["*.io", "quay.io/a/b", true],
    ["*.io", "a.quay.io/a/b", false],
    ["*", "quay.io/a", false],
    ["qua[xy].[hi]o", "quay.io/a/b", true],
    ["quay.io", "quay.io:5000/a", false],
    ["quay.io:5000", "quay.io:5000/a", true],
    ["quayxio", "quay.io/a", false],
    ["https://index.docker.io/v1/", "nginx", true],
    ["index.docker.io", "docker.io/library/nginx:1", true],
    ["docker.io", "nginx", true],
    ["index.docker.io", "quay.io/nginx", false],
    ["qu[", "quay.io/a", false],
  ])("of %s for %s: %s", (location, image, expected) => {
    expect(users(image, json({ [location]: user("u") }))).toEqual(expected ? ["u"] : []);
  });

  test("the more specific come first, of all secrets and of both kinds", () => {
    const one = json({ "quay.io": user("host"), "quay.io/a": user("path") });
    expect(users("quay.io/a/b", one, cfg({ "quay.io/a": user("other"), "gcr.io": user("no") }))).toEqual([
      "path",
      "other",
      "host",
    ]);
  });

  test("name and password also come joined, and then win", () => {
    const entry = { username: "x", password: "y", auth: base64("me:a:b") };
    expect(credentialsFor("quay.io/a", [json({ "quay.io": entry })])).toEqual([
      {
        auth: { username: "me", password: "a:b" },
        secret: expect.objectContaining({ credentialHash: expect.any(String) }),
      },
    ]);
  });

  test("what cannot be read counts as nothing", () => {
    const broken: Secret[] = [
      { type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": base64("{") } },
      { type: "kubernetes.io/dockerconfigjson", data: {} },
      { type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": base64("[]") } },
      { type: "Opaque", data: { ".dockercfg": base64(JSON.stringify({ "quay.io": user("u") })) } },
      json({ "quay.io": { auth: base64("nocolon") } }),
    ];
    expect(users("quay.io/a", ...broken)).toEqual([]);
    expect(users("Not OK", json({ "quay.io": user("u") }))).toEqual([]);
  });
});
