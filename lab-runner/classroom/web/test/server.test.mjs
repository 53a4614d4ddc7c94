// The pages with the server of the class itself: an instructor and two learners.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { close, join, open, page, screen, shows, someone, until } from "./browser.mjs";

before(open);
after(close);

const tls = { ignoreHTTPSErrors: true };
const check = (p, state) => p.locator(`.checks li.${state}`);

test("an instructor and two learners, from the first step to the last", async () => {
  const board = await someone(tls);
  await board.goto(page + "board");
  await board.getByLabel("One-time password").fill(process.env.PASSWORD);
  await board.getByRole("button", { name: "Log in" }).click();
  await board.getByText("0 of 2 learners").waitFor();

  const [a, b] = [await someone(tls), await someone(tls)];
  await join(a, "Ada");
  await join(b, "Bob");
  assert.equal(await a.getByRole("button", { name: /Not open yet/ }).isDisabled(), true);
  await board.getByRole("button", { name: "Open the lab" }).click();
  for (const p of [a, b]) {
    await p.getByRole("button", { name: /Start.*Notes that stay/ }).click();
    await p.getByRole("heading", { name: "Write a note" }).waitFor();
  }
  await shows(a, "Ada$");
  await shows(b, "Bob$");

  // A third one is refused with a sentence.
  const c = await someone(tls);
  await c.goto(page);
  await c.getByLabel("Code of the room").fill(process.env.CODE);
  await c.getByLabel("Your name").fill("Cy");
  await c.getByRole("button", { name: "Join", exact: true }).click();
  await c.getByText(/full|limit|as many/).waitFor();

  await a.getByRole("button", { name: "Run: echo written > note" }).click();
  await check(a, "done").waitFor();
  assert.equal(await check(b, "todo").count(), 1, "Bob's check is done by Ada's file");
  assert.ok(!(await screen(b)).includes("written"), "Bob sees Ada's terminal");
  await a.getByRole("button", { name: "Next" }).click();
  await a.getByRole("heading", { name: "Write more" }).waitFor();
  await board.locator("tbody tr").filter({ hasText: "Ada" }).getByText("step 2 of 3: Write more").waitFor();
  await a.reload();
  await a.getByRole("heading", { name: "Write more" }).waitFor();

  // The solution of this step is released, and used.
  await a.getByRole("button", { name: "Solve" }).click();
  await a.getByRole("button", { name: "Solve the step" }).click();
  await a.getByText("the instructor has not released this solution").waitFor();
  await board.getByRole("spinbutton", { name: "Step" }).fill("2");
  const released = board.waitForResponse((r) => r.url().endsWith("api/board/do"));
  await board.getByRole("button", { name: "Release the solution" }).click();
  assert.equal((await released).status(), 200);
  await a.getByRole("button", { name: "Solve" }).click();
  await a.getByRole("button", { name: "Solve the step" }).click();
  await until("both checks are done", () => check(a, "done").count(), (n) => n === 2);
  await a.getByRole("button", { name: "Next" }).click();
  await a.getByLabel("note, if x < y").check();
  await a.getByText("It was written in step 1.").waitFor();
  await a.getByRole("button", { name: "Finish" }).click();
  await a.getByText("You have finished this lab.").waitFor();

  // Help, a message to one, a look at the terminal, consent.
  await b.getByRole("button", { name: "Ask for help" }).click();
  const row = board.locator("tbody tr").filter({ hasText: "Bob" });
  await row.getByRole("button", { name: /Mark as helped/ }).click();
  await b.getByRole("button", { name: "Ask for help" }).waitFor();
  await board.getByLabel("Choose Bob").check();
  await board.getByLabel("Message").fill("Look at step 1");
  await board.getByRole("button", { name: "Send" }).click();
  await b.getByText("Look at step 1").waitFor();
  assert.equal(await a.getByText("Look at step 1").count(), 0);
  await board.getByRole("button", { name: "See the terminal of Bob" }).click();
  await b.getByText("The instructor sees your terminal now.").waitFor();
  await board.getByRole("button", { name: "Ask to type" }).click();
  await b.getByRole("button", { name: "Allow", exact: true }).click();
  await board.getByText("What you type goes into the learner's terminal.").waitFor();
  await until("the terminal is drawn", () => screen(board), (s) => s.includes("Bob$"));
  await board.locator("dialog .xterm-box").click();
  await board.keyboard.type("echo helped > note\n");
  await check(b, "done").waitFor();
  await b.getByRole("button", { name: "End this" }).click();
  await board.getByText("You see the terminal and cannot type.").waitFor();

  for (const p of [a, b, board]) {
    assert.deepEqual(p.problems, []);
    assert.deepEqual(p.foreign, []);
  }
});
