// Deals a flow its hand of queues: always the same for a flow, and different flows rarely share all of theirs. Pure.
import { createHash } from "node:crypto";

/** `handSize` different queues of `queues`, by the flow's schema and distinguisher. */
export function dealHand(schema: string, distinguisher: string, queues: number, handSize: number): number[] {
  const digest = createHash("sha256").update(`${schema}\0${distinguisher}`).digest();
  let entropy = digest.readBigUInt64BE(0) | (digest.readBigUInt64BE(8) << 64n);
  const hand: number[] = [];
  for (let remaining = queues; hand.length < Math.min(handSize, queues); remaining--) {
    let card = Number(entropy % BigInt(remaining));
    entropy /= BigInt(remaining);
    // The card counts among those that are not dealt yet.
    for (const dealt of hand.toSorted((a, b) => a - b)) if (card >= dealt) card++;
    hand.push(card);
  }
  return hand;
}
