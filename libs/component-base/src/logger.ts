// The Logger of real processes: JSON lines on stdout, written at once, so that the last line before a crash is there.
import { destination, pino, stdTimeFunctions, type Logger as Pino } from "pino";
import type { Logger } from "./contract.ts";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LeveledLogger extends Logger {
  /** Returns the level before. */
  setLevel(level: LogLevel): string;
}

export function isLogLevel(text: string): text is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(text);
}

/** pino's children keep their own level, so they are made anew from the parent's when it changes. */
function adapt(current: () => Pino): Logger {
  return {
    trace: (fields, message) => current().trace(fields, message),
    debug: (fields, message) => current().debug(fields, message),
    info: (fields, message) => current().info(fields, message),
    warn: (fields, message) => current().warn(fields, message),
    error: (fields, message) => current().error(fields, message),
    child: (fields) => {
      let parent = current();
      let child = parent.child(fields, { level: parent.level });
      return adapt(() => {
        if (parent !== current() || child.level !== current().level) {
          parent = current();
          child = parent.child(fields, { level: parent.level });
        }
        return child;
      });
    },
  };
}

/** `bindings` go on every line, as in {component, instance}. */
export function createLogger(options: { readonly level: LogLevel; readonly bindings: object }): LeveledLogger {
  const root = pino(
    { level: options.level, base: { ...options.bindings }, timestamp: stdTimeFunctions.isoTime },
    destination({ fd: 1, sync: true }),
  );
  return {
    ...adapt(() => root),
    setLevel: (level) => {
      const before = root.level;
      root.level = level;
      return before;
    },
  };
}
