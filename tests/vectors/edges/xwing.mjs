// X-Wing at its edges, by libsodium 1.0.22: writes xwing.json. PyNaCl's libsodium has no
// X-Wing yet, so this one producer needs node:
//
//   npm install --prefix target/node libsodium-wrappers@0.8.4
//   NODE_PATH=target/node/node_modules node tests/vectors/edges/xwing.mjs

import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";

const sodium = createRequire(import.meta.url)("libsodium-wrappers");
await sodium.ready;

const digest = (kind, text) => new Uint8Array(createHash(kind).update(text).digest());
const hex = (bytes) => Buffer.from(bytes).toString("hex");
const P = 2n ** 255n - 19n;
const little = (n) => Uint8Array.from({ length: 32 }, (_, i) => Number((n >> BigInt(8 * i)) & 255n));

function patched(bytes, patch) {
  const out = Uint8Array.from(bytes);
  for (const [at, text] of patch) out.set(Buffer.from(text, "hex"), at);
  return out;
}

function attempt(call) {
  try {
    return call();
  } catch {
    return null;
  }
}

const cases = [];

// `seal` changes the key, `open` the ciphertext, before it is used. Each result is of that use.
function add(name, use, n, patch) {
  const seed = digest("sha256", `seed ${n}`);
  const random = digest("sha512", `random ${n}`);
  const { publicKey, privateKey } = sodium.crypto_kem_xwing_seed_keypair(seed);
  const key = use === "seal" ? patched(publicKey, patch) : publicKey;
  const sealed = attempt(() => sodium.crypto_kem_xwing_enc_deterministic(key, random));
  let shared = sealed?.sharedSecret ?? null;
  if (use === "open") {
    const ct = patched(sealed.ciphertext, patch);
    shared = attempt(() => sodium.crypto_kem_xwing_dec(ct, privateKey));
  }
  cases.push({
    name,
    use,
    seed: hex(seed),
    random: hex(random),
    patch,
    public_sha256: hex(digest("sha256", publicKey)),
    ct_sha256: sealed && hex(digest("sha256", sealed.ciphertext)),
    shared: shared && hex(shared),
  });
}

for (let n = 0; n < 16; n += 1) {
  add(`any-${n}-seal`, "seal", n, []);
  add(`any-${n}-open`, "open", n, []);
}
for (const at of [0, 1, 500, 959, 960, 1000, 1087, 1088, 1119]) {
  for (const n of [1, 2]) add(`damaged-${n}-${at}`, "open", n, [[at, "5a"]]);
}
// The points whose order divides 8, each with and without the bit that X25519 ignores.
const low = [
  0n,
  1n,
  P - 1n,
  P,
  P + 1n,
  325606250916557431795983626356110631294008115727848805560023387167927233504n,
  39382357235489614581723060781553021112529911719440698176882885853963445705823n,
];
for (const [i, u] of low.entries()) {
  for (const high of [0n, 1n]) {
    const point = hex(little(u | (high << 255n)));
    add(`low-${i}-${high}-seal`, "seal", 3, [[1184, point]]);
    add(`low-${i}-${high}-open`, "open", 3, [[1088, point]]);
  }
}
// The first coefficient of ML-KEM's key, in 12 bits; q is 3329.
for (const value of [0, 1, 3328, 3329, 3330, 4095]) {
  const { publicKey } = sodium.crypto_kem_xwing_seed_keypair(digest("sha256", "seed 4"));
  const bytes = [value & 255, (publicKey[1] & 0xf0) | (value >> 8)];
  add(`coefficient-${value}`, "seal", 4, [[0, hex(bytes)]]);
}

const text = `[\n${cases.map((one) => ` ${JSON.stringify(one)}`).join(",\n")}\n]\n`;
writeFileSync(new URL("xwing.json", import.meta.url), text);
console.log(`edges/xwing.json: ${cases.length} cases by libsodium ${sodium.SODIUM_VERSION_STRING}`);
