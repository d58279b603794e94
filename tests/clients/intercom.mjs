// Intercom's own client against the sandbox.
import { strict as assert } from "node:assert";
import { done, fails, need, sorted, step, tool } from "./lib.mjs";

const { IntercomClient, Intercom, IntercomError } = need("intercom-client");
const sandbox = tool("intercom");
const client = new IntercomClient({ token: sandbox.config.token, environment: sandbox.base_url, maxRetries: 0 });
const { contacts, companies } = client;

const isError = (error, kind, status, code) => {
  assert.ok(error instanceof kind && error instanceof IntercomError, `${error.constructor.name}: ${error.message}`);
  assert.equal(error.statusCode, status);
  assert.equal(error.body.type, "error.list");
  assert.equal(error.body.errors[0].code, code);
};

const all = async (pages) => {
  const seen = [];
  for await (const one of pages) seen.push(one);
  return seen;
};

await step("the account", async () => {
  const me = await client.admins.identify();
  assert.equal(me.type, "admin");
  const attributes = await client.dataAttributes.list({ model: "contact" });
  assert.ok(attributes.data.some(({ custom, options }) => custom && options));
});

await step("all pages of the list are everybody", async () => {
  const seen = await all(await contacts.list({ per_page: 40 }));
  const truth = await sandbox.people();
  assert.ok(seen.length > 80, `${seen.length} are no pages`);
  assert.deepEqual(sorted(seen.map(({ id }) => id)), sorted(truth.map(({ raw }) => raw.id)));
  assert.ok(seen.every(({ type, updated_at: at }) => type === "contact" && Number.isInteger(at)));
});

await step("the search goes through its pages in order", async () => {
  const query = { operator: "AND", value: [{ field: "updated_at", operator: ">", value: "0" }] };
  const seen = await all(await contacts.search({ query, pagination: { per_page: 40 }, sort: { field: "updated_at", order: "ascending" } }));
  assert.equal(new Set(seen.map(({ id }) => id)).size, (await sandbox.people()).length);
  const { updated_at: last } = seen.at(-1);
  const after = await contacts.search({ query: { field: "updated_at", operator: ">", value: String(last) } });
  assert.equal(after.data.length, 0, "a time counts as its whole day");
});

let made;
await step("a contact is made, changed, found", async () => {
  made = await contacts.create({ role: "user", email: "client@nivel.test", external_id: "nivel-1", name: "Clio" });
  assert.match(made.id, /^[0-9a-f]{24}$/);
  const changed = await contacts.update({ contact_id: made.id, phone: "+358401234567", name: null, custom_attributes: { tier: "gold" } });
  assert.equal(changed.custom_attributes.tier, "gold");
  assert.equal((await contacts.find({ contact_id: made.id })).name, null);
  assert.equal((await contacts.showContactByExternalId({ external_id: "nivel-1" })).id, made.id);
  const found = await contacts.search({ query: { field: "email", operator: "=", value: "CLIENT@nivel.test" } });
  assert.deepEqual(found.data.map(({ id }) => id), [made.id]);
  assert.equal((await sandbox.person(made.id)).phone, "+358401234567");
});

await step("leads may share an address, and go into a user", async () => {
  const lead = await contacts.create({ role: "lead", email: "client@nivel.test" });
  assert.notEqual(lead.id, made.id);
  const user = await contacts.mergeLeadInUser({ from: lead.id, into: made.id });
  assert.equal(user.id, made.id);
  isError(await fails("merged", () => contacts.find({ contact_id: lead.id })), IntercomError, 404, "not_found");
});

await step("companies are made by their own id and scrolled", async () => {
  const company = await companies.createOrUpdate({ company_id: "c1", name: "Globex" });
  const again = await companies.createOrUpdate({ company_id: "c1", name: "Globex & Sons" });
  assert.equal(again.id, company.id);
  assert.equal((await companies.find({ company_id: company.id })).name, "Globex & Sons");
  const seen = await all(await companies.scroll());
  assert.deepEqual(seen.map(({ id }) => id), [company.id]);
});

await step("what is wrong has the client's own error", async () => {
  const twice = await fails("a second one", () => contacts.create({ role: "user", email: "client@nivel.test" }));
  assert.equal(twice.statusCode, 409);
  assert.match(twice.body.errors[0].message, new RegExp(`id=${made.id}`));
  const nothing = await fails("nobody in particular", () => contacts.create({ name: "x" }));
  assert.equal(nothing.statusCode, 400);
  isError(await fails("nobody", () => contacts.find({ contact_id: "f".repeat(24) })), IntercomError, 404, "not_found");
});

await step("a refused token, a limit, a limit that is waited for", async () => {
  const stranger = new IntercomClient({ token: "wrong", environment: sandbox.base_url, maxRetries: 0 });
  isError(await fails("a wrong token", () => stranger.contacts.list()), Intercom.UnauthorizedError, 401, "unauthorized");
  await sandbox.fault("throttle", { retry_after_s: 1 });
  const slower = await fails("too fast", () => contacts.list());
  assert.equal(slower.statusCode, 429);
  assert.equal(slower.body.errors[0].code, "rate_limit_exceeded");
  await sandbox.fault("throttle", { retry_after_s: 1 });
  const before = Date.now();
  assert.ok((await contacts.list({ per_page: 5 }, { maxRetries: 1 })).data.length);
  assert.ok(Date.now() - before >= 900, "the client waits as long as it is told");
});

await step("a contact that is deleted is gone", async () => {
  assert.equal((await contacts.delete({ contact_id: made.id })).deleted, true);
  assert.equal(await sandbox.person(made.id), undefined);
  isError(await fails("deleted", () => contacts.find({ contact_id: made.id })), IntercomError, 404, "not_found");
});

done("intercom-client");
