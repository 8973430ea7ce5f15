// It remembers exactly what was used last.
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { RecentMap } from "../src/recent-map.ts";

test("property: the entries used last are there, and no others", () => {
  const step = fc.record({ act: fc.constantFrom("get", "set", "delete"), key: fc.nat(6), value: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), fc.integer({ min: 1, max: 4 }), (steps, most) => {
      const map = new RecentMap<number, number>(most);
      /** The one used last is the last. */
      let model: { key: number; value: number }[] = [];
      for (const { act, key, value } of steps) {
        const known = model.find((each) => each.key === key);
        model = model.filter((each) => each !== known);
        if (act === "set") {
          map.set(key, value);
          model.push({ key, value });
        } else if (act === "delete") map.delete(key);
        else {
          expect(map.get(key)).toBe(known?.value);
          if (known !== undefined) model.push(known);
        }
        model = model.slice(-most);
      }
      for (const { key, value } of model) expect(map.get(key)).toBe(value);
      for (let key = 0; key <= 6; key++)
        if (!model.some((each) => each.key === key)) expect(map.get(key)).toBeUndefined();
    }),
  );
});
