// Who is in a rollout, for clients that have to know without asking: the same as montoit.bucket() in the database,
// and as the vectors of tests/vectors/buckets.json. Web Crypto is in browsers, in Deno and in Node.

/** A user's place in a flag's rollout, 0 to 9999. `userId` is a uuid with its hyphens, in any case. */
export async function bucket(flagKey: string, userId: string): Promise<number> {
  const text = new TextEncoder().encode(`${flagKey}:${userId.toLowerCase()}`);
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", text));
  return Number(digest.subarray(0, 7).reduce((place, byte) => (place << 8n) | BigInt(byte), 0n) % 10000n);
}

/** Whether a user is among the first `share` percent. */
export async function isIn(flagKey: string, userId: string, share: number): Promise<boolean> {
  return (await bucket(flagKey, userId)) < share * 100;
}
