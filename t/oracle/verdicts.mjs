// JSON.parse's verdicts: reads texts as fuzz/verdict.c does, prints "ok", "utf8"
// or "no" for each.

import fs from "node:fs";

const input = fs.readFileSync(0);
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const lines = [];

function verdict(bytes) {
  let text;
  try {
    text = decoder.decode(bytes);
  } catch {
    return "utf8";
  }
  try {
    JSON.parse(text);
    return "ok";
  } catch {
    return "no";
  }
}

for (let at = 0; at < input.length; ) {
  const size = input.readUInt32LE(at);
  lines.push(verdict(input.subarray(at + 4, at + 4 + size)));
  at += 4 + size;
}

process.stdout.write(lines.join("\n") + "\n");
