// What the scripts in JavaScript share: where the tool is, its truth, and words for what must hold.
import { strict as assert } from "node:assert";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

export const need = createRequire(`${process.env.NIVEL_CLIENTS}/npm/`);
const { tools } = JSON.parse(readFileSync(process.env.NIVEL_SANDBOX, "utf8"));

export function tool(name) {
  const found = tools.find((one) => one.name === name);
  assert.ok(found, `the sandbox has no ${name}`);
  const own = async (path, options) => {
    const answer = await fetch(`${found.base_url}/_sandbox/${path}`, options);
    assert.equal(answer.status, 200, path);
    return answer.json();
  };
  return {
    ...found,
    people: () => own("people"),
    lastStatus: async () => (await own("requests")).at(-1).status,
    person: async (id) => (await own("people")).find((one) => one.raw.id === id || one.id === String(id)),
    fault: (kind, more = {}) => own("faults", { method: "POST", body: JSON.stringify([{ kind, ...more }]) }),
    well: () => own("faults", { method: "POST", body: "[]" }),
  };
}

/** The error that a call ends with; that it ends well is the mistake. */
export async function fails(what, call) {
  try {
    await call();
  } catch (error) {
    return error;
  }
  return assert.fail(`${what}: was taken`);
}

let steps = 0;

export async function step(name, work) {
  try {
    await work();
  } catch (error) {
    console.error(`FAILED  ${name}\n`, error);
    process.exit(1);
  }
  steps += 1;
}

export const done = (client) => console.log(`ok  ${client}: ${steps} steps`);
export const sorted = (list) => [...list].sort();
