import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, join, page, picture, screen, shows, someone, stub, until } from "./browser.mjs";

let board;

const row = (name) => board.locator("tbody tr").filter({ hasText: name });
const actions = async () => (await stub("state")).actions;

test("the one-time password opens the board; a wrong one does not", async () => {
  board = await someone();
  await board.goto(page + "board");
  await board.getByLabel("One-time password").fill("guess");
  await board.getByRole("button", { name: "Log in" }).click();
  await board.getByText("this is not the password").waitFor();
  await board.getByLabel("One-time password").fill("once-only-password");
  await board.getByRole("button", { name: "Log in" }).click();
  await board.getByRole("region", { name: "Learners" }).waitFor();
});

test("the board shows help first and red next, live", async () => {
  const people = {};
  for (const name of ["Board A", "Board B", "Board C"]) {
    const p = (people[name] = await someone());
    await join(p, name);
    await p.getByRole("button", { name: "Notes that stay" }).click();
    await shows(p, name + "$");
  }
  await people["Board B"].getByRole("button", { name: "Run: echo written > note" }).click();
  await people["Board B"].locator(".checks li.done").waitFor();
  await people["Board B"].locator(".xterm-box").click();
  await people["Board B"].keyboard.type("rm note\n");
  await row("Board B").getByText("a file was removed").waitFor();
  await people["Board C"].getByRole("button", { name: "Ask for help" }).click();
  await row("Board C").getByRole("button", { name: /Mark as helped/ }).waitFor();
  await board.getByRole("searchbox").fill("Board");
  const names = await board.locator("tbody th").allInnerTexts();
  assert.deepEqual(names.map((n) => n.trim().slice(0, 7)), ["Board C", "Board B", "Board A"]);
  await accessible(board, "the board");
  await picture(board, "board");
  await board.getByRole("button", { name: /^Help 1/ }).click();
  assert.equal(await board.locator("tbody tr").count(), 1);
  await board.getByRole("button", { name: /Mark as helped/ }).click();
  await board.getByText("No learner matches this filter.").waitFor();
  await board.getByRole("button", { name: /^All/ }).click();

  // Look at a terminal: read-only, and the learner sees that; typing after consent only.
  const a = people["Board A"];
  await board.getByRole("button", { name: "See the terminal of Board A" }).click();
  await a.getByText("The instructor sees your terminal now.").waitFor();
  await until("the terminal is drawn", () => screen(board), (s) => s.includes("Board A$"));
  await board.locator("dialog .xterm-box").click();
  await board.keyboard.type("echo intruder > note\n");
  await board.getByRole("button", { name: "Ask to type" }).click();
  await a.getByRole("button", { name: "Allow", exact: true }).click();
  await board.getByText("What you type goes into the learner's terminal.").waitFor();
  assert.equal(await a.locator(".checks li.done").count(), 0, "a read-only view has typed");
  await until("the terminal is drawn again", () => screen(board), (s) => s.includes("Board A$"));
  await board.locator("dialog .xterm-box").click();
  await board.keyboard.type("echo helped > note\n");
  await a.locator(".checks li.done").waitFor();
  await accessible(board, "a terminal on the board");
  await picture(board, "watch");
  await board.getByRole("button", { name: "Close" }).last().click();
  await a.getByText("The instructor sees your terminal now.").waitFor({ state: "detached" });

  // Actions for one, and for all.
  await board.getByLabel("Choose Board A").check();
  await board.getByText("For 1 chosen").waitFor();
  await board.getByLabel("Message").fill("Look at step 1");
  await board.getByRole("button", { name: "Send" }).click();
  await a.getByText("Look at step 1").waitFor();
  await board.getByLabel("Choose Board A").uncheck();
  await board.getByRole("button", { name: "Start", exact: true }).click();
  await a.getByRole("timer").waitFor();
  await board.getByRole("button", { name: "Release the solution" }).click();
  await board.getByRole("button", { name: "Reset the lab" }).click();
  await board.getByRole("dialog").getByRole("button", { name: "Reset the lab" }).click();
  const last = await until("all actions are sent", actions, (l) => l.at(-1)?.action === "reset");
  assert.deepEqual(last.slice(-2).map((x) => [x.action, x.learners, x.lab, x.step ?? "all"]), [["release", ["*"], "workshop/notes", 0], ["reset", ["*"], "workshop/notes", "all"]]);
  await row("Board A").getByText("step 1 of 3").waitFor();
  assert.equal(last.find((x) => x.action === "message").learners.length, 1);
  await board.reload();
  await row("Board A").waitFor();

  for (const p of Object.values(people)) {
    assert.deepEqual(p.problems, []);
    await p.context().close();
  }
});

test("the board fits a phone", async () => {
  await board.setViewportSize({ width: 360, height: 740 });
  await row("Board A").waitFor();
  const wide = await board.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `the board is ${wide} px wide`);
  await picture(board, "phone-board");
  await board.setViewportSize({ width: 1280, height: 800 });
});

test("all personal data is removed after a question", async () => {
  await board.getByText("More", { exact: true }).click();
  await board.getByRole("button", { name: "Remove all personal data" }).click();
  await board.getByRole("dialog").getByRole("button", { name: "Remove all personal data" }).click();
  await board.getByText("Nobody has joined yet.").waitFor();
  assert.deepEqual(board.problems, []);
  assert.deepEqual(board.foreign, []);
  await board.getByRole("button", { name: "Log out" }).click();
  await board.getByLabel("One-time password").waitFor();
});
