// HubSpot's own client against the sandbox.
import { strict as assert } from "node:assert";
import { done, fails, need, sorted, step, tool } from "./lib.mjs";

const hubspot = need("@hubspot/api-client");
const sandbox = tool("hubspot");
const client = new hubspot.Client({
  accessToken: sandbox.config.token,
  basePath: sandbox.base_url,
  numberOfApiCallRetries: 1,
});
const { basicApi, batchApi, searchApi } = client.crm.contacts;
const PROPERTIES = ["email", "firstname", "lastname", "phone", "lastmodifieddate"];

const isError = (error, code, category) => {
  assert.equal(error.code, code, error.message);
  assert.equal(error.constructor.name, "ApiException");
  assert.equal(error.body.category, category);
  assert.ok(error.body.correlationId && error.body.message, "an error says what and where to ask");
};

await step("all pages of the list are everybody", async () => {
  const seen = [];
  let after;
  do {
    const page = await basicApi.getPage(40, after, PROPERTIES);
    for (const row of page.results) {
      assert.ok(row.createdAt instanceof Date && row.updatedAt instanceof Date, "times are times");
      assert.equal(row.archived, false);
    }
    seen.push(...page.results);
    after = page.paging?.next?.after;
  } while (after);
  const truth = await sandbox.people();
  assert.ok(seen.length > 80, `${seen.length} are no pages`);
  assert.deepEqual(sorted(seen.map((row) => row.id)), sorted(truth.map((one) => one.id)));
  assert.deepEqual(
    sorted(seen.map((row) => row.properties.email ?? "")),
    sorted(truth.map((one) => one.email ?? "")),
  );
  assert.equal((await client.crm.contacts.getAll(100)).length, truth.length);
});

await step("the search goes through its pages in order", async () => {
  const seen = [];
  let after;
  do {
    const page = await searchApi.doSearch({
      filterGroups: [{ filters: [{ propertyName: "lastmodifieddate", operator: "GTE", value: "0" }] }],
      sorts: ["lastmodifieddate"],
      properties: PROPERTIES,
      limit: 100,
      after,
    });
    assert.equal(typeof page.total, "number");
    seen.push(...page.results);
    after = page.paging?.next?.after;
  } while (after);
  const times = seen.map((row) => row.properties.lastmodifieddate);
  assert.deepEqual(times, sorted(times));
  assert.equal(new Set(seen.map((row) => row.id)).size, (await sandbox.people()).length);
});

let made;
await step("a contact is made, read, changed and cleared", async () => {
  made = await basicApi.create({ properties: { email: "client@nivel.test", firstname: "Clio" }, associations: [] });
  assert.ok(made.id && made.createdAt instanceof Date);
  const changed = await basicApi.update(made.id, { properties: { lastname: "Ent", firstname: "" } });
  assert.equal(changed.id, made.id);
  const read = await basicApi.getById("client@nivel.test", PROPERTIES, undefined, undefined, false, "email");
  assert.equal(read.id, made.id);
  const truth = await sandbox.person(made.id);
  assert.equal(truth.family, "Ent");
  assert.equal(truth.given, null);
  assert.equal(read.properties.lastname, "Ent");
});

await step("a batch says which rows are in and which are not", async () => {
  const row = (email) => ({ properties: { email, firstname: "Batch" }, associations: [] });
  const created = await batchApi.create({ inputs: [row("b1@nivel.test"), row("b2@nivel.test")] });
  assert.equal(created.status, "COMPLETE");
  assert.equal(created.results.length, 2);
  assert.ok(created.startedAt instanceof Date && created.completedAt instanceof Date);
  const inputs = created.results.map(({ id }) => ({ id, properties: { lastname: "Changed" } }));
  const updated = await batchApi.update({ inputs });
  assert.deepEqual(sorted(updated.results.map(({ id }) => id)), sorted(inputs.map(({ id }) => id)));
  const ids = [...inputs.map(({ id }) => ({ id })), { id: "999999999" }];
  const read = await batchApi.read({ inputs: ids, properties: PROPERTIES, propertiesWithHistory: [] });
  assert.equal(read.results.length, 2);
  assert.equal(read.numErrors, 1);
  assert.equal(read.errors[0].category, "OBJECT_NOT_FOUND");
  assert.deepEqual(read.errors[0].context.ids, ["999999999"]);
  const upserted = await batchApi.upsert({
    inputs: [
      { id: "b1@nivel.test", idProperty: "email", properties: { email: "b1@nivel.test", firstname: "Up" } },
      { id: "b3@nivel.test", idProperty: "email", properties: { email: "b3@nivel.test" } },
    ],
  });
  const fresh = Object.fromEntries(upserted.results.map((one) => [one.properties.email, one._new]));
  assert.deepEqual(fresh, { "b1@nivel.test": false, "b3@nivel.test": true });
  const gone = [...new Set([...upserted.results, ...created.results].map(({ id }) => id))].map((id) => ({ id }));
  await batchApi.archive({ inputs: gone });
  assert.equal(await sandbox.person(gone[0].id), undefined);
});

await step("what is wrong has the client's own error", async () => {
  isError(await fails("a wrong address", () => basicApi.create({ properties: { email: "no address" } })), 400, "VALIDATION_ERROR");
  isError(await fails("an unknown property", () => basicApi.update(made.id, { properties: { nonsense: "1" } })), 400, "VALIDATION_ERROR");
  const twice = await fails("a second one", () => basicApi.create({ properties: { email: "client@nivel.test" } }));
  isError(twice, 409, "CONFLICT");
  assert.match(twice.body.message, new RegExp(`Existing ID: ${made.id}`));
  isError(await fails("nobody", () => basicApi.getById("999999999")), 404, "OBJECT_NOT_FOUND");
});

await step("a refused token, a limit, a limit that is waited for", async () => {
  const stranger = new hubspot.Client({ accessToken: "wrong", basePath: sandbox.base_url, numberOfApiCallRetries: 1 });
  const refused = await fails("a wrong token", () => stranger.crm.contacts.basicApi.getPage(1));
  isError(refused, 401, "INVALID_AUTHENTICATION");
  await sandbox.fault("throttle", { retry_after_s: 7 });
  const slower = await fails("too fast", () => basicApi.getPage(1));
  assert.equal(slower.code, 429);
  assert.equal(slower.body.errorType, "RATE_LIMIT");
  assert.ok(["TEN_SECONDLY_ROLLING", "SECONDLY"].includes(slower.body.policyName), slower.body.policyName);
  assert.equal(slower.headers["retry-after"], "7");
  await sandbox.fault("server_error");
  const patient = new hubspot.Client({ accessToken: sandbox.config.token, basePath: sandbox.base_url, numberOfApiCallRetries: 3 });
  assert.equal((await patient.crm.contacts.basicApi.getPage(1)).results.length, 1);
});

await step("a contact that is archived is gone", async () => {
  await basicApi.archive(made.id);
  isError(await fails("archived", () => basicApi.getById(made.id)), 404, "OBJECT_NOT_FOUND");
  const archived = await basicApi.getPage(100, undefined, PROPERTIES, undefined, undefined, true);
  const row = archived.results.find(({ id }) => id === made.id);
  assert.ok(row?.archived && row.archivedAt instanceof Date);
});

done("@hubspot/api-client");
