// Pipedrive's own client (API v2) against the sandbox.
import { strict as assert } from "node:assert";
import { done, fails, need, sorted, step, tool } from "./lib.mjs";

const { v1, v2 } = need("pipedrive");
const sandbox = tool("pipedrive");
const configured = (apiKey) => new v2.Configuration({ apiKey, basePath: `${sandbox.base_url}/api/v2` });
const persons = new v2.PersonsApi(configured(sandbox.config.token));

// The client's error is the body of the answer.
const isError = async (error, status) => {
  assert.equal(error.success, false, error.stack);
  assert.ok(error.error, "an error says what");
  assert.equal(await sandbox.lastStatus(), status);
};

await step("all pages of the list are everybody", async () => {
  const seen = [];
  let cursor;
  do {
    const page = await persons.getPersons({ limit: 40, cursor, sort_by: "update_time" });
    assert.equal(page.success, true);
    seen.push(...page.data);
    cursor = page.additional_data.next_cursor ?? undefined;
  } while (cursor);
  const truth = await sandbox.people();
  assert.ok(seen.length > 80, `${seen.length} are no pages`);
  assert.deepEqual(sorted(seen.map(({ id }) => String(id))), sorted(truth.map(({ id }) => id)));
  const times = seen.map(({ update_time: at }) => at);
  assert.deepEqual(times, sorted(times));
  assert.deepEqual(sorted(seen.map(({ name }) => name)), sorted(truth.map(({ full_name: name }) => name ?? "")));
});

let made;
await step("a person is made, found, changed", async () => {
  const emails = [
    { value: "client@nivel.test", primary: true, label: "work" },
    { value: "second@nivel.test", primary: false, label: "home" },
  ];
  made = (await persons.addPerson({ AddPersonRequest: { name: "Clio Ent", emails } })).data;
  assert.deepEqual(made.emails, emails);
  assert.equal(made.first_name, "Clio");
  const read = (await persons.getPerson({ id: made.id })).data;
  assert.deepEqual(read, made);
  const found = await persons.searchPersons({ term: "client@nivel.test", fields: "email", exact_match: true });
  assert.deepEqual(found.data.items.map(({ item }) => item.id), [made.id]);
  assert.deepEqual(found.data.items[0].item.emails, ["client@nivel.test", "second@nivel.test"]);
  const since = made.update_time;
  const changed = (await persons.updatePerson({ id: made.id, UpdatePersonRequest: { name: "Clio Enter" } })).data;
  assert.equal(changed.last_name, "Enter");
  assert.deepEqual(changed.emails, emails, "what is not named stays");
  const later = await persons.getPersons({ updated_since: since });
  assert.ok(later.data.some(({ id }) => id === made.id), "updated_since counts its own second");
  const some = await persons.getPersons({ ids: `${made.id},1` });
  assert.deepEqual(some.data.map(({ id }) => id).sort((a, b) => a - b), [1, made.id]);
});

await step("what is wrong has the client's own error", async () => {
  await isError(await fails("no name", () => persons.addPerson({ AddPersonRequest: { emails: [] } })), 400);
  await isError(await fails("a fraction of a second", () => persons.getPersons({ updated_since: "2026-01-01T00:00:00.5Z" })), 400);
  await isError(await fails("nobody", () => persons.getPerson({ id: 999999999 })), 404);
  await isError(await fails("nobody to change", () => persons.updatePerson({ id: 999999999, UpdatePersonRequest: { name: "x" } })), 404);
});

await step("fields, notes and the account", async () => {
  const fields = await new v2.PersonFieldsApi(configured(sandbox.config.token)).getPersonFields();
  assert.ok(fields.data.some(({ field_code: code, is_custom_field: own }) => own && code.length === 40));
  const first = new v1.Configuration({ apiKey: sandbox.config.token, basePath: `${sandbox.base_url}/v1` });
  assert.equal((await new v1.UsersApi(first).getCurrentUser()).data.company_domain, "sandbox");
  const note = await new v1.NotesApi(first).addNote({ AddNoteRequest: { content: "met", person_id: made.id } });
  assert.equal(note.data.person_id, made.id);
});

await step("a refused token and a limit", async () => {
  const stranger = new v2.PersonsApi(configured("wrong"));
  await isError(await fails("a wrong token", () => stranger.getPersons()), 401);
  await sandbox.fault("throttle", { retry_after_s: 7 });
  const slower = await fails("too fast", () => persons.getPersons());
  await isError(slower, 429);
  assert.equal(slower.errorCode, 429);
});

await step("a person that is deleted is marked", async () => {
  assert.equal((await persons.deletePerson({ id: made.id })).data.id, made.id);
  assert.equal((await persons.getPerson({ id: made.id })).data.is_deleted, true);
  assert.equal(await sandbox.person(made.id), undefined);
});

done("pipedrive");
