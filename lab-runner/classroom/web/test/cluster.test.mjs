// The pages with a class on a real cluster: the terminal is a workbench, the checks are those of a lab. PAGE, CODE and PASSWORD are the
// class's, which offers drills/no-endpoints (features/class_browser_test.go).
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { close, join, open, page, picture, screen, someone, until } from "./browser.mjs";

before(open);
after(close);

const tls = { ignoreHTTPSErrors: true };
const flat = (text) => text.replace(/\s+/g, ""); // a long line is wrapped

// clicks runs each command of the step by its button, one when the one before has ended.
async function clicks(p) {
  const buttons = p.locator(".command button");
  const n = await buttons.count();
  for (let i = 0; i < n; i++) {
    const button = buttons.nth(i);
    const command = flat((await button.getAttribute("aria-label")).replace(/^Run: /, ""));
    await button.click();
    await until(`${command} has ended`, async () => flat(await screen(p)), (s) => {
      const at = s.lastIndexOf(command);
      return at >= 0 && s.length > at + command.length && s.endsWith("$");
    });
  }
  return n;
}

const green = (p, what) => until(what, () => p.locator(".checks li").evaluateAll((all) => all.map((li) => li.className)), (all) => all.length > 0 && all.every((c) => c.includes("done")), 120_000);

test("a learner does a lab from the first step to the last, and the board shows it", async () => {
  const board = await someone(tls);
  await board.goto(page + "board");
  await board.getByLabel("One-time password").fill(process.env.PASSWORD);
  await board.getByRole("button", { name: "Log in" }).click();
  const a = await someone(tls);
  a.setDefaultTimeout(120_000); // a workbench is made, images start
  await join(a, "Ada");
  await a.getByRole("button", { name: /Start.*A service that reaches nobody/ }).click();
  await a.getByText("A colleague has deployed a shop").waitFor();
  await a.getByRole("heading", { name: "The report" }).waitFor();
  await until("the shell's prompt", async () => flat(await screen(a)), (s) => s.endsWith("$"), 120_000);
  assert.equal(await a.locator(".checks li.done").count(), 0);

  let typed = await clicks(a);
  await green(a, "the first check is done");
  const row = board.locator("tbody tr").filter({ hasText: "Ada" });
  await row.getByText("step 1 of 3: The report").waitFor();
  await a.getByRole("button", { name: "Next" }).click();
  await a.getByText("Follow the request.").waitFor();
  await row.getByText("step 2 of 3: The cause").waitFor();

  typed += await clicks(a);
  await a.getByLabel("The service's selector matches no pod.").check();
  await a.getByText("Right.").waitFor();
  await picture(a, "real-learner");

  await a.reload(); // the place, the answer, and the terminal with what it has shown
  await a.getByText("Follow the request.").waitFor();
  await a.getByText("Right.").waitFor();
  await until("the terminal has what it had", async () => flat(await screen(a)), (s) => s.includes("--show-labels"));

  await a.getByRole("button", { name: "Next" }).click();
  await a.getByText("The selector is app=shopp").waitFor();
  typed += await clicks(a);
  await green(a, "the last check is done");
  await a.getByText("You have finished this lab.").waitFor();
  assert.ok(typed >= 8, `${typed} commands`);
  await row.getByText("step 3 of 3: The repair").waitFor();
  await board.setViewportSize({ width: 1280, height: 800 });
  await picture(board, "real-board");
  await a.setViewportSize({ width: 390, height: 800 });
  await picture(a, "real-phone");
  for (const p of [a, board]) {
    assert.deepEqual(p.problems, []);
    assert.deepEqual(p.foreign, []);
  }
});
