// Selectors of devices: what they see, what is refused, what they cost.
import { describe, expect, it } from "vitest";
import { deviceExpression, isTooComplex, SelectableDevice, selects } from "../src/resource-v1/device-expressions.ts";
import type { Device } from "../src/types.gen.ts";

const device: Pick<Device, "attributes" | "capacity"> = {
  attributes: {
    model: { string: "a100" },
    "other.example/model": { string: "b" },
    index: { int: 3 },
    ready: { bool: true },
    "driver.example/firmware": { version: "1.2.3-beta.1" },
  },
  capacity: { memory: { value: "16Gi" } },
};

function matches(text: string, driver = "driver.example"): boolean | string {
  const made = deviceExpression(text);
  if ("issue" in made) return made.issue;
  try {
    return selects(made.program, new SelectableDevice(driver, device));
  } catch (error) {
    return (error as Error).message;
  }
}

describe("an expression on a device", () => {
  it.each([
    [`device.driver == "driver.example"`, true],
    [`device.attributes["driver.example"].model == "a100"`, true],
    [`device.attributes["other.example"].model == "a100"`, false],
    [`device.attributes["driver.example"].index == 3 && device.attributes["driver.example"].ready`, true],
    [`device.attributes["driver.example"].firmware.isLessThan(semver("1.2.3"))`, true],
    [`device.capacity["driver.example"].memory.compareTo(quantity("8Gi")) > 0`, true],
    [`device.capacity["driver.example"].memory.isLessThan(quantity("8Gi"))`, false],
    [`"model" in device.attributes["driver.example"]`, true],
    // A domain that is not there has no attributes.
    [`"model" in device.attributes["unknown.example"]`, false],
    [`has(device.attributes["unknown.example"].model)`, false],
    [`"unknown.example" in device.attributes`, false],
    [`device.attributes["driver.example"].?model.orValue("") == "a100"`, true],
    [`device.attributes["unknown.example"].?model.orValue("none") == "none"`, true],
    [`cel.bind(own, device.attributes["driver.example"], own.model == "a100" && own.ready)`, true],
    [`device.attributes["driver.example"].model`, "CEL result of type string could not be converted to bool"],
    [`device.attributes["unknown.example"].model == "a"`, "no such key: model"],
  ])("%s", (text, expected) => {
    expect(matches(text)).toBe(expected);
  });

  it("says what is wrong with one that does not compile", () => {
    expect(matches("device.name")).toContain("compilation failed: ");
    expect(matches("device.driver")).toBe("must evaluate to bool or the unknown type, not string");
    expect(matches("1 + 1")).toBe("must evaluate to bool or the unknown type, not int");
  });

  it("is too complex where it may take more steps than one evaluation has", () => {
    const complex = (text: string): boolean => {
      const made = deviceExpression(text);
      if ("issue" in made) throw new Error(made.issue);
      return isTooComplex(made.program);
    };
    expect(complex(`device.attributes["driver.example"].model == "a100"`)).toBe(false);
    expect(complex(`device.attributes.all(d, device.attributes[d].all(k, k.startsWith("a")))`)).toBe(false);
    const nested = `device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, device.attributes.all(d, a == b && c == d))))`;
    expect(complex(nested)).toBe(true);
  });
});
