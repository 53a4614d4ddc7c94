// The pages with the server of the class itself: an instructor and two learners.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, close, join, open, page, picture, screen, shows, someone, until } from "./browser.mjs";

before(open);
after(close);

const tls = { ignoreHTTPSErrors: true };
let instructor, ada; // their pages, after the first test
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
  await board.getByRole("combobox", { name: "Step" }).selectOption("2. Write more"); // the board has the titles
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

  await a.goto(page + "#labs");
  await a.getByRole("link", { name: "Linux arm64" }).waitFor();
  await accessible(a, "the programs");
  await picture(a, "programs");
  [instructor, ada] = [board, a];
  for (const p of [a, b, board]) {
    assert.deepEqual(p.problems, []);
    assert.deepEqual(p.foreign, []);
  }
});

test("slides: the instructor runs commands and sees the map, learners who follow have no buttons", async () => {
  const [a, board] = [ada, instructor];
  await board.goto(page + "board");
  await board.getByRole("button", { name: "Pages follow" }).click();
  const deck = board;
  await deck.goto(page + "slides/workshop/?present=1#8");
  await deck.keyboard.press("ArrowRight");
  await deck.getByRole("heading", { name: "Lab: a first pod" }).waitFor();
  await deck.getByRole("button", { name: "run kubectl create -f influxdb-simple.yaml" }).click();
  await deck.getByText("ran kubectl create -f influxdb-simple.yaml of workshop/influxdb/a-first-pod").waitFor();
  await deck.getByText("influxdb on minion-1").waitFor();

  const slide = a.frameLocator("iframe");
  await slide.getByRole("heading", { name: "Lab: a first pod" }).waitFor();
  await slide.getByText("kubectl create -f influxdb-simple.yaml").first().waitFor();
  assert.equal(await slide.locator("button[data-command]").count(), 0, "a learner's slide has buttons");
  assert.equal(await slide.getByText("influxdb on minion-1").count(), 0, "a learner's slide has the map");
  // What the page does not offer is refused, too.
  const status = await a.evaluate(async () => (await fetch("slides/workshop/run", { method: "POST", headers: { "Content-Type": "application/json", "X-Wheelhouse": "1" }, body: '{"slide":9,"command":1}' })).status);
  assert.equal(status, 403);
  await picture(a, "follow");
  await picture(deck, "present");
  await deck.keyboard.press("ArrowRight");
  await slide.getByRole("heading", { name: "The journey of a pod" }).waitFor();
  for (const p of [a, deck]) assert.deepEqual(p.problems, []);
});
