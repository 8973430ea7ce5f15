// Quantities are exact and print canonically.
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseBytes, parseCpuMillis, parseQuantity, QuantityError } from "../src/index.ts";

test.each([
  ["0", "0"],
  ["1.5", "1500m"],
  ["1.5Gi", "1536Mi"],
  ["0.5Gi", "512Mi"],
  ["1024", "1024"],
  ["1000k", "1M"],
  ["12e6", "12e6"],
  ["0.1m", "100u"],
  ["0.1n", "1n"],
  ["-1.5", "-1500m"],
  [".5", "500m"],
  ["0.5Ki", "512"],
  ["100Ei", "9223372036854775807"],
])("%s is %s", (text, canonical) => expect(parseQuantity(text).toString()).toBe(canonical));

test.each(["", "x", "1x", "1.2.3", "Gi", "1e", "--1", "1 Gi", "1e9999"])("%s is refused", (text) => {
  expect(() => parseQuantity(text)).toThrow(QuantityError);
});

test("values round up, sums keep the format", () => {
  expect(parseQuantity("1.1").value()).toBe(2);
  expect(parseQuantity("100u").milliValue()).toBe(1);
  expect(parseQuantity("1Gi").add(parseQuantity("1024Mi")).toString()).toBe("2Gi");
  expect(parseQuantity("0").add(parseQuantity("1Ki")).toString()).toBe("1Ki");
  expect(parseQuantity("1").sub(parseQuantity("250m")).toString()).toBe("750m");
  expect(parseQuantity("1k").compare(parseQuantity("1Ki"))).toBeLessThan(0);
});

test("canonical text parses to the same amount, and the quick parsers agree with the exact one", () => {
  const suffix = fc.constantFrom("", "n", "u", "m", "k", "M", "G", "Ki", "Mi", "Gi", "e3", "E-2");
  fc.assert(
    fc.property(fc.nat(1e9), fc.option(fc.nat(999), { nil: undefined }), suffix, (whole, fraction, unit) => {
      const text = `${whole}${fraction === undefined ? "" : `.${fraction}`}${unit}`;
      const quantity = parseQuantity(text);
      const again = parseQuantity(quantity.toString());
      expect(again.nanos).toBe(quantity.nanos);
      expect(parseCpuMillis(text)).toBe(quantity.milliValue());
      expect(parseBytes(text)).toBe(quantity.value());
    }),
  );
});
