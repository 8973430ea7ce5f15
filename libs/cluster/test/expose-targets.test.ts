// What people name becomes addresses inside the cluster, or an error that says why not.
import { expect, test } from "vitest";
import { choosePort, ExposeError, parseWish, planServiceTargets } from "../src/expose-targets.ts";

test.each([
  ["10.244.1.2:80", { kind: "address", target: "10.244.1.2:80" }],
  ["30080", { kind: "node-port", port: 30080 }],
  ["web", { kind: "service", namespace: "default", service: "web", port: "" }],
  ["shop/web:http", { kind: "service", namespace: "shop", service: "web", port: "http" }],
])("%s", (text, wish) => expect(parseWish(text)).toEqual(wish));

test.each(["", "x_y", "70000", "a/b/c", "1.2.3.4"])("refuses %o", (text) => {
  expect(() => parseWish(text)).toThrow(ExposeError);
});

test("a Service is reached through its NodePort, else through its ready endpoints", () => {
  const nodes = ["198.18.0.101", "198.18.0.102"];
  const slices = [
    {
      ports: [{ name: "http", port: 8080 }],
      endpoints: [
        { addresses: ["10.244.1.2"], conditions: { ready: true } },
        { addresses: ["10.244.1.3"], conditions: { ready: false } },
      ],
    },
  ];
  expect(planServiceTargets("web", { port: 80, nodePort: 30080 }, nodes, slices)).toEqual([
    "198.18.0.101:30080",
    "198.18.0.102:30080",
  ]);
  expect(planServiceTargets("web", { name: "http", port: 80 }, nodes, slices)).toEqual(["10.244.1.2:8080"]);
  expect(() => planServiceTargets("web", { name: "http", port: 80 }, nodes, [])).toThrow("no ready endpoint");
});

test("the port is chosen by name or number, and UDP is refused by name", () => {
  const view = {
    spec: {
      ports: [
        { name: "a", port: 1 },
        { name: "dns", port: 53, protocol: "UDP" },
      ],
    },
  };
  expect(choosePort("s", view, "").port).toBe(1);
  expect(choosePort("s", view, "1").name).toBe("a");
  expect(() => choosePort("s", view, "dns")).toThrow("only TCP");
  expect(() => choosePort("s", view, "b")).toThrow('no port "b"');
});
