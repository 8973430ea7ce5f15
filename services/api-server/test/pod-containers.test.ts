// Which container a request means that names none, as the server has it: kubectl alone looks at the annotation for that.
import { expect, test } from "vitest";
import type { Pod } from "@coxswain/api";
import { chooseContainer } from "../src/rest/pod-containers.ts";

const named = (...names: string[]) => names.map((name) => ({ name, image: "i" }));

const pod: Pod = {
  metadata: { name: "p", annotations: { "kubectl.kubernetes.io/default-container": "b" } },
  spec: { containers: named("a", "b"), initContainers: named("i"), ephemeralContainers: named("e") },
};

test("none of several", () => {
  expect(() => chooseContainer(pod, "")).toThrow(
    "a container name must be specified for pod p, choose one of: [i a b e]",
  );
});

test("the only one, also beside those that prepare it", () => {
  expect(chooseContainer({ ...pod, spec: { ...pod.spec, containers: named("a") } }, "")).toBe("a");
});

test.each(["i", "b", "e"])("the named one: %s", (name) => {
  expect(chooseContainer(pod, name)).toBe(name);
});

test("one that is not there", () => {
  expect(() => chooseContainer(pod, "z")).toThrow("container z is not valid for pod p");
});
