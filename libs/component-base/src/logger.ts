// The Logger of real processes: JSON lines on stdout, written at once, so that the last line before a crash is there. The
// stacks of errors tell positions in the sources; those of warnings, which a process may well write while it starts, tell
// positions in the bundle: to read a source map takes longer than to start.
import { destination, pino, stdSerializers, stdTimeFunctions, type Logger as Pino } from "pino";
import type { Logger } from "./contract.ts";
import { inSources } from "./source-positions.ts";

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface LeveledLogger extends Logger {
  /** Returns the level before. */
  setLevel(level: LogLevel): string;
}

export function isLogLevel(text: string): text is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(text);
}

/** An error that is logged as one. */
class LoggedError {
  readonly error: unknown;
  constructor(error: unknown) {
    this.error = error;
  }
}

function serializeError(given: unknown): unknown {
  if (!(given instanceof LoggedError)) return stdSerializers.err(given as Error);
  const { error } = given;
  if (!(error instanceof Error)) return stdSerializers.err(error as Error);
  const serialized = stdSerializers.err(error);
  return { ...serialized, stack: inSources(serialized.stack) };
}

const asError = (fields: object): object =>
  "err" in fields ? { ...fields, err: new LoggedError(fields.err) } : fields;

/** pino's children keep their own level, so they are made anew from the parent's when it changes. */
function adapt(current: () => Pino): Logger {
  return {
    trace: (fields, message) => current().trace(fields, message),
    debug: (fields, message) => current().debug(fields, message),
    info: (fields, message) => current().info(fields, message),
    warn: (fields, message) => current().warn(fields, message),
    error: (fields, message) => current().error(asError(fields), message),
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
    {
      level: options.level,
      base: { ...options.bindings },
      timestamp: stdTimeFunctions.isoTime,
      serializers: { err: serializeError },
    },
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
