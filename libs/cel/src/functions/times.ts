// Parts of times in a place: one that has a name, or one that is told by its offset from UTC, as in -07:00. Times and
// durations as texts.
// https://github.com/google/cel-spec/blob/master/doc/langdef.md#timezones
import type { Environment } from "@marcbachmann/cel-js";
import { celError, registerAll } from "./definition.ts";

const PARTS: Readonly<Record<string, (wall: Date) => number>> = {
  getFullYear: (wall) => wall.getUTCFullYear(),
  getMonth: (wall) => wall.getUTCMonth(),
  getDate: (wall) => wall.getUTCDate(),
  getDayOfMonth: (wall) => wall.getUTCDate() - 1,
  getDayOfWeek: (wall) => wall.getUTCDay(),
  getDayOfYear: (wall) => Math.floor((wall.getTime() - Date.UTC(wall.getUTCFullYear(), 0, 1)) / 86_400_000),
  getHours: (wall) => wall.getUTCHours(),
  getMinutes: (wall) => wall.getUTCMinutes(),
  getSeconds: (wall) => wall.getUTCSeconds(),
  getMilliseconds: (wall) => wall.getUTCMilliseconds(),
};

/** Names of the functions that take a place. */
export const TIME_PARTS: ReadonlySet<string> = new Set(Object.keys(PARTS));

const MINUTE_MS = 60_000;

/** The time as a clock on the wall there shows it, in the place of UTC. */
function wallTime(time: Date, zone: string): Date {
  const offset = /^([+-]?)(\d\d):(\d\d)$/.exec(zone);
  if (offset !== null) {
    const minutes = Number(offset[2]) * 60 + Number(offset[3]);
    return new Date(time.getTime() + (offset[1] === "-" ? -minutes : minutes) * MINUTE_MS);
  }
  try {
    const shown = new Intl.DateTimeFormat("en-US", {
      timeZone: zone === "" ? "UTC" : zone,
      hourCycle: "h23",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      second: "numeric",
    }).formatToParts(time);
    const [year, month, day, hour, minute, second] = ["year", "month", "day", "hour", "minute", "second"].map((type) =>
      Number(shown.find((part) => part.type === type)?.value),
    ) as [number, number, number, number, number, number];
    return new Date(Date.UTC(year, month - 1, day, hour, minute, second, time.getUTCMilliseconds()));
  } catch (error) {
    if (error instanceof RangeError) throw celError(`unknown time zone ${zone}`);
    throw error;
  }
}

/** RFC 3339, with as much of a second as there is. */
export const timeText = (time: Date): string => time.toISOString().replace(/\.?0*Z$/, "Z");

export function registerTimes(environment: Environment): void {
  for (const [name, part] of Object.entries(PARTS)) {
    registerAll(environment, {
      [`google.protobuf.Timestamp.go_${name}(string): int`]: (time: Date, zone: string) =>
        BigInt(part(wallTime(time, zone))),
    });
  }
  registerAll(environment, {
    "string(google.protobuf.Timestamp): string": timeText,
    "string(google.protobuf.Duration): string": String,
  });
}
