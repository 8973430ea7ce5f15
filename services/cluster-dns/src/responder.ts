// From the bytes of a query to the bytes of its response, for either transport.
import type { Random } from "@coxswain/env";
import { encode, RECURSION_DESIRED, type Answer } from "dns-packet";
import type { DnsIndex } from "./dns-index.ts";
import type { Forwarder } from "./forwarder.ts";
import {
  decodeAnswers,
  encodeResponse,
  parseQuery,
  udpLimit,
  type Code,
  type Query,
  type Response,
} from "./message.ts";
import { planAnswer, type Planned, type ZoneSettings } from "./plan-answer.ts";

export type Transport = "udp" | "tcp";

/** The response to a query; undefined where nothing must be sent. Never rejects. */
export type Responder = (bytes: Buffer, transport: Transport) => Promise<Buffer | undefined>;

const MOST_TCP_SIZE = 65_535;

export interface ResponderDeps {
  readonly index: DnsIndex;
  readonly zone: ZoneSettings;
  readonly random: Random;
  /** False until the caches are filled: then every answer is SERVFAIL. */
  readonly ready: () => boolean;
  /** Where names outside the domain go; they are refused without it. */
  readonly forwarder?: Forwarder;
  /** Hears of each answer. */
  readonly onAnswer?: (code: Code | "FORWARDED", transport: Transport) => void;
}

function plain(code: Code, recursionAvailable: boolean): Response {
  return { code, authoritative: false, recursionAvailable, answers: [], authorities: [], additionals: [] };
}

export function createResponder(deps: ResponderDeps): Responder {
  const recursive = deps.forwarder !== undefined;
  return async (bytes, transport) => {
    const query = parseQuery(bytes);
    if (query === undefined) return undefined;
    const limit = transport === "udp" ? udpLimit(query) : MOST_TCP_SIZE;
    const say = (response: Response): Buffer => {
      deps.onAnswer?.(response.code, transport);
      return encodeResponse(query, response, limit);
    };
    const refusal = refuseEarly(query);
    if (refusal !== undefined) return say(plain(refusal, recursive));
    if (!deps.ready()) return say(plain("SERVFAIL", recursive));
    const planned = planAnswer(query.questions[0]!, deps.index, deps.zone);
    if (planned.kind === "answer") {
      const beyond = await answersBeyond(planned, query, deps.forwarder);
      return say(toResponse({ ...planned, answers: [...planned.answers, ...beyond] }, deps.random, recursive));
    }
    if (deps.forwarder === undefined) return say(plain("REFUSED", false));
    const forwarded = await deps.forwarder(bytes, transport);
    if (forwarded === undefined) return say(plain("SERVFAIL", true));
    deps.onAnswer?.("FORWARDED", transport);
    return forwarded;
  };
}

/** Where an alias leads out of the domain and there is an upstream: what the upstream knows of the alias's target. */
async function answersBeyond(
  planned: Extract<Planned, { kind: "answer" }>,
  query: Query,
  forwarder: Forwarder | undefined,
): Promise<readonly Answer[]> {
  if (planned.continueAt === undefined || forwarder === undefined) return [];
  const question = { ...query.questions[0]!, name: planned.continueAt };
  const asked = encode({ type: "query", id: query.id, flags: RECURSION_DESIRED, questions: [question] });
  const response = await forwarder(asked, "tcp");
  return response === undefined ? [] : (decodeAnswers(response) ?? []);
}

/** What is wrong with a query before its question is looked at. */
function refuseEarly(query: Query): Code | undefined {
  if (query.opcode !== 0) return "NOTIMP";
  const [question, ...more] = query.questions;
  if (question === undefined || more.length > 0) return "FORMERR";
  if (query.edns !== undefined && query.edns.version > 0) return "BADVERS";
  if (question.class !== undefined && question.class !== "IN" && question.class !== "ANY") return "REFUSED";
  return question.type === "AXFR" || question.type === "IXFR" ? "REFUSED" : undefined;
}

/** Addresses in random order, so that clients that take the first spread over all. */
function toResponse(
  planned: Extract<Planned, { kind: "answer" }>,
  random: Random,
  recursionAvailable: boolean,
): Response {
  const { code, authorities, additionals } = planned;
  return {
    code,
    authoritative: true,
    recursionAvailable,
    answers: shuffled(planned.answers, random),
    authorities,
    additionals,
  };
}

function shuffled(answers: readonly Answer[], random: Random): Answer[] {
  // Aliases come before what they lead to.
  const aliases = answers.filter((one) => one.type === "CNAME");
  const rest = answers.filter((one) => one.type !== "CNAME");
  for (let at = rest.length - 1; at > 0; at--) {
    const other = random.int(at + 1);
    [rest[at], rest[other]] = [rest[other]!, rest[at]!];
  }
  return [...aliases, ...rest];
}
