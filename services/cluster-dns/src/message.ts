// Queries from bytes and responses to bytes. A name that repeats the question's is written as a pointer to it, so that an
// answer with many addresses still fits in one datagram.
import {
  AUTHORITATIVE_ANSWER,
  decode,
  encode,
  RECURSION_AVAILABLE,
  RECURSION_DESIRED,
  TRUNCATED_RESPONSE,
  type Answer,
  type OptAnswer,
  type Question,
} from "dns-packet";

export const CODES = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  /** Extended: an EDNS version that is not spoken. */
  BADVERS: 16,
} as const;
export type Code = keyof typeof CODES;

/** Without EDNS a datagram holds this many bytes; with it as many as the client says, but not beyond what travels unsplit. */
const PLAIN_UDP_SIZE = 512;
const MOST_UDP_SIZE = 1232;
const HEADER_SIZE = 12;
const OPCODE_MASK = 0x7800;

export interface Query {
  readonly id: number;
  readonly recursionDesired: boolean;
  /** 0 is an ordinary query. */
  readonly opcode: number;
  readonly questions: readonly Question[];
  readonly edns: { readonly version: number; readonly udpSize: number } | undefined;
}

export interface Response {
  readonly code: Code;
  readonly authoritative: boolean;
  readonly recursionAvailable: boolean;
  readonly answers: readonly Answer[];
  readonly authorities: readonly Answer[];
  readonly additionals: readonly Answer[];
}

/** Undefined where the bytes are no query: a response, or nothing that can be read. Such a datagram gets no answer. */
export function parseQuery(bytes: Buffer): Query | undefined {
  if (bytes.length < HEADER_SIZE || (bytes[2]! & 0x80) !== 0) return undefined;
  try {
    const packet = decode(bytes);
    if (!(packet.questions ?? []).every(({ name }) => isEncodable(name))) return undefined;
    const opt = packet.additionals?.find((one): one is OptAnswer => one.type === "OPT");
    return {
      id: packet.id ?? 0,
      recursionDesired: packet.flag_rd,
      opcode: (bytes.readUInt16BE(2) & OPCODE_MASK) >> 11,
      questions: packet.questions ?? [],
      edns: opt === undefined ? undefined : { version: opt.ednsVersion, udpSize: opt.udpPayloadSize },
    };
  } catch (error) {
    // The decoder throws RangeError or Error for bytes that are no message; any caller may send such.
    if (error instanceof Error) return undefined;
    throw error;
  }
}

/**
 * Whether a name can be written back as it was read. Labels may hold any bytes, dots among them, which as text become other
 * labels, too long or empty ones: nobody asks such things in earnest.
 */
function isEncodable(name: string): boolean {
  if (name === "." || name === "") return true;
  const labels = name.split(".");
  return (
    !/[\s\p{Cc}\uFFFD]/u.test(name) &&
    labels.every((label) => label !== "" && Buffer.byteLength(label) <= 63) &&
    Buffer.byteLength(name) <= 253
  );
}

/** The answers of a response; undefined where the bytes are none. */
export function decodeAnswers(bytes: Buffer): readonly Answer[] | undefined {
  try {
    return decode(bytes).answers;
  } catch (error) {
    if (error instanceof Error) return undefined;
    throw error;
  }
}

/** The largest datagram that may answer a query, bytes. */
export function udpLimit(query: Query): number {
  if (query.edns === undefined) return PLAIN_UDP_SIZE;
  return Math.min(MOST_UDP_SIZE, Math.max(PLAIN_UDP_SIZE, query.edns.udpSize));
}

/** The response's bytes, cut to `limit`: additional records go first, then answers, and then the client is told. */
export function encodeResponse(query: Query, response: Response, limit: number): Buffer {
  const question = query.questions[0];
  const name = question?.name;
  const head = question === undefined ? Buffer.alloc(0) : encode({ questions: [question] }).subarray(HEADER_SIZE);
  const opt = query.edns === undefined ? [] : [encodeRecord(optRecord(response.code), undefined)];
  const answers = response.answers.map((one) => encodeRecord(one, name));
  const authorities = response.authorities.map((one) => encodeRecord(one, name));
  let additionals = response.additionals.map((one) => encodeRecord(one, name));
  let room = limit - HEADER_SIZE - head.length - size(opt);
  if (size(answers) + size(authorities) + size(additionals) > room) additionals = [];
  let truncated = false;
  const kept: Buffer[] = [];
  for (const record of [...answers, ...authorities]) {
    if (record.length > room) {
      truncated = true;
      break;
    }
    room -= record.length;
    kept.push(record);
  }
  const answerCount = Math.min(kept.length, answers.length);
  const header = encodeHeader(query, response, truncated);
  header.writeUInt16BE(question === undefined ? 0 : 1, 4);
  header.writeUInt16BE(answerCount, 6);
  header.writeUInt16BE(kept.length - answerCount, 8);
  header.writeUInt16BE(additionals.length + opt.length, 10);
  return Buffer.concat([header, head, ...kept, ...additionals, ...opt]);
}

function size(records: readonly Buffer[]): number {
  return records.reduce((sum, one) => sum + one.length, 0);
}

function encodeHeader(query: Query, response: Response, truncated: boolean): Buffer {
  const header = Buffer.alloc(HEADER_SIZE);
  const flags =
    0x8000 |
    (query.opcode << 11) |
    (response.authoritative ? AUTHORITATIVE_ANSWER : 0) |
    (truncated ? TRUNCATED_RESPONSE : 0) |
    (query.recursionDesired ? RECURSION_DESIRED : 0) |
    (response.recursionAvailable ? RECURSION_AVAILABLE : 0) |
    (CODES[response.code] & 0x0f);
  header.writeUInt16BE(query.id, 0);
  header.writeUInt16BE(flags, 2);
  return header;
}

function optRecord(code: Code): OptAnswer {
  const fixed = { ednsVersion: 0, flags: 0, flag_do: false, options: [] };
  return { type: "OPT", name: ".", udpPayloadSize: MOST_UDP_SIZE, extendedRcode: CODES[code] >> 4, ...fixed };
}

/** One record; its owner is a pointer to the question where both are the same name. */
function encodeRecord(record: Answer, questionName: string | undefined): Buffer {
  const bytes = encode({ answers: [record] }).subarray(HEADER_SIZE);
  if (record.name !== questionName || record.name === "" || record.name === ".") return bytes;
  const nameLength = Buffer.byteLength(record.name.replace(/\.$/, "")) + 2;
  return Buffer.concat([Buffer.from([0xc0, HEADER_SIZE]), bytes.subarray(nameLength)]);
}
