// When a cron schedule fires. Pure. Guarantees: fields are of the wall clock of the time zone; a time that a change of clocks
// leaves out does not fire, and a schedule that never fires is told as such.
import type { CronSchedule } from "@coxswain/api/batch-v1/cron-job/schedule";

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** A schedule that does not fire for so long never does: 29 February comes every eight years at the latest. */
const HORIZON_MS = 9 * 366 * 24 * HOUR_MS;
const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

interface WallClock {
  readonly minute: number;
  readonly hour: number;
  readonly day: number;
  readonly month: number;
  readonly weekday: number;
}

/** Reads the wall clock of one zone; UTC where unset. Throws RangeError for a zone that is not known. */
export function wallClock(timeZone: string | undefined): (ms: number) => WallClock {
  if (timeZone === undefined || timeZone === "UTC" || timeZone === "Etc/UTC") {
    return (ms) => {
      const date = new Date(ms);
      return {
        minute: date.getUTCMinutes(),
        hour: date.getUTCHours(),
        day: date.getUTCDate(),
        month: date.getUTCMonth() + 1,
        weekday: date.getUTCDay(),
      };
    };
  }
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    weekday: "short",
  });
  return (ms) => {
    const parts = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
    return {
      minute: Number(parts["minute"]),
      hour: Number(parts["hour"]),
      day: Number(parts["day"]),
      month: Number(parts["month"]),
      weekday: WEEKDAYS.indexOf(parts["weekday"] ?? ""),
    };
  };
}

/** As RFC 3339 writes it with the zone's distance to UTC; UTC where unset. */
export function timeInZone(ms: number, timeZone = "UTC"): string {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone,
    hourCycle: "h23",
    year: "numeric",
    month: "2-digit",
    day: "2-digit",
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });
  const parts = Object.fromEntries(format.formatToParts(ms).map(({ type, value }) => [type, value]));
  const wall = `${parts["year"]}-${parts["month"]}-${parts["day"]}T${parts["hour"]}:${parts["minute"]}:${parts["second"]}`;
  const minutes = Math.round((Date.parse(`${wall}Z`) - ms) / MINUTE_MS);
  if (minutes === 0) return `${wall}Z`;
  const two = (n: number): string => String(n).padStart(2, "0");
  const away = Math.abs(minutes);
  return `${wall}${minutes < 0 ? "-" : "+"}${two(Math.floor(away / 60))}:${two(away % 60)}`;
}

type Fields = Exclude<CronSchedule, { everyMs: number }>;

function dayFits({ days, weekdays, anyDay, anyWeekday }: Fields, { day, weekday }: WallClock): boolean {
  const [byDay, byWeekday] = [days.includes(day), weekdays.includes(weekday)];
  return anyDay || anyWeekday ? byDay && byWeekday : byDay || byWeekday;
}

/** The first time after `afterMs`, ms since the epoch; undefined for a schedule that never fires. */
export function nextTime(
  schedule: CronSchedule,
  afterMs: number,
  clock: (ms: number) => WallClock,
): number | undefined {
  // Fixed intervals begin at whole seconds.
  if ("everyMs" in schedule) return Math.floor(afterMs / 1000) * 1000 + schedule.everyMs;
  const end = afterMs + HORIZON_MS;
  for (let ms = (Math.floor(afterMs / MINUTE_MS) + 1) * MINUTE_MS; ms < end;) {
    const now = clock(ms);
    const hourFits = schedule.months.includes(now.month) && dayFits(schedule, now) && schedule.hours.includes(now.hour);
    if (hourFits && schedule.minutes.includes(now.minute)) return ms;
    ms += hourFits ? MINUTE_MS : (60 - now.minute) * MINUTE_MS;
  }
  return undefined;
}

export interface Due {
  /** The latest time that has come and was not seen to. */
  readonly dueMs: number | undefined;
  /** How many have come since. */
  readonly missed: number;
}

/** More are not counted one by one. */
const MANY = 100;

/** Times after `sinceMs` up to `nowMs`. */
export function timesDue(
  schedule: CronSchedule,
  sinceMs: number,
  nowMs: number,
  clock: (ms: number) => WallClock,
): Due {
  let dueMs = nextTime(schedule, sinceMs, clock);
  if (dueMs === undefined || dueMs > nowMs) return { dueMs: undefined, missed: 0 };
  if ("everyMs" in schedule) {
    const missed = Math.floor((nowMs - dueMs) / schedule.everyMs);
    return { dueMs: dueMs + missed * schedule.everyMs, missed: missed + 1 };
  }
  let missed = 1;
  for (let next = nextTime(schedule, dueMs, clock); next !== undefined && next <= nowMs; missed++) {
    dueMs = next;
    next = nextTime(schedule, dueMs, clock);
    // After a long sleep the latest is found from the end, and not by counting all of them.
    if (missed > MANY) return { dueMs: lastBefore(schedule, dueMs, nowMs, clock), missed };
  }
  return { dueMs, missed };
}

function lastBefore(schedule: CronSchedule, fromMs: number, nowMs: number, clock: (ms: number) => WallClock): number {
  for (let spanMs = HOUR_MS; nowMs - spanMs > fromMs; spanMs *= 2) {
    const first = nextTime(schedule, nowMs - spanMs, clock);
    if (first === undefined || first > nowMs) continue;
    let last = first;
    for (let next = nextTime(schedule, last, clock); next !== undefined && next <= nowMs;) {
      last = next;
      next = nextTime(schedule, last, clock);
    }
    return last;
  }
  return fromMs;
}
