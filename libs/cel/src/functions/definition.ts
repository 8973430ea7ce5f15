// How the libraries of functions are written down: signature and what it does.
import { EvaluationError, type Environment } from "@marcbachmann/cel-js";

// Values of many types pass through; each function knows its own by its signature, which the checker enforces.
export type Handler = (...values: never[]) => unknown;

export type FunctionTable = Readonly<Record<string, Handler>>;

/** What a rule sees where a function cannot give an answer. */
export function celError(message: string): EvaluationError {
  return new EvaluationError({ code: "function_error", message });
}

export function registerAll(environment: Environment, table: FunctionTable): void {
  for (const [signature, handler] of Object.entries(table)) {
    environment.registerFunction(signature, {
      handler: handler as (...values: unknown[]) => unknown,
      async: false,
    } as never);
  }
}
