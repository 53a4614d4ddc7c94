import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, join, page, picture, screen, shows, someone, stub, until } from "./browser.mjs";


async function clean(p) {
  assert.deepEqual(p.problems, [], "what the browser's console complains about");
  assert.deepEqual(p.foreign, [], "requests to other hosts");
  await p.context().close();
}

const check = (p, state) => p.locator(`.checks li.${state}`);

test("a wrong code is refused with the server's sentence, and what was typed stays", async () => {
  const p = await someone();
  await p.goto(page);
  await accessible(p, "the form to join");
  await picture(p, "join");
  await p.getByLabel("Code of the room").fill("WRONG");
  await p.getByLabel("Your name").fill("Ada");
  await p.keyboard.press("Enter");
  await p.getByText("this is not the code of the room Try again in 2 seconds.").waitFor();
  await p.reload();
  assert.equal(await p.getByLabel("Your name").inputValue(), "Ada");
  await clean(p);
});

test("a lab from the first to the last step, in the terminal of the page", async () => {
  const p = await someone();
  await join(p, "Grace");
  await p.getByRole("button", { name: "Notes that stay" }).waitFor();
  await accessible(p, "the list of labs");
  await picture(p, "labs");
  assert.equal(await p.getByRole("button", { name: /Not open yet ?: Rolling updates/ }).isDisabled(), true);
  await p.getByText("do it on a cluster of your own").waitFor();
  await p.getByRole("button", { name: "Notes that stay" }).click();

  await p.getByRole("heading", { name: "Write a note" }).waitFor();
  await shows(p, "Grace$");
  assert.equal(await check(p, "todo").count(), 1);
  await p.getByText("no such file").waitFor();
  await p.getByRole("button", { name: "Run: echo written > note" }).click();
  await check(p, "done").waitFor();
  await picture(p, "lab");

  // A command that is typed by hand, and a check that is lost and comes back.
  await p.keyboard.type("rm note\n");
  await check(p, "lost").waitFor();
  await accessible(p, "a lab");
  await p.getByRole("button", { name: "Why?" }).click();
  await p.getByText("nothing has written it").waitFor();
  await p.keyboard.press("Escape");
  await p.locator(".xterm-box").click();
  await p.keyboard.type("echo again > note\n");
  await check(p, "done").waitFor();
  await p.getByRole("button", { name: "Hint (1)" }).click();
  await p.getByText("gives it to a file").waitFor();
  await p.getByRole("button", { name: "Next" }).click();

  await p.getByRole("heading", { name: "Write more" }).waitFor();
  await p.getByRole("button", { name: "Next" }).click();
  await p.getByText("Checks of this step are still to do.").waitFor();
  await p.getByRole("button", { name: "Map" }).click();
  await p.locator("svg .pod.well").first().waitFor();
  await accessible(p, "the map");
  await picture(p, "map");
  await p.getByRole("button", { name: /^Checks/ }).click();
  await p.getByRole("button", { name: "Run: echo written > more" }).click();
  await p.getByRole("button", { name: "Run: echo written > last" }).click();
  await until("both checks are done", () => check(p, "done").count(), (n) => n === 2);
  await p.getByRole("button", { name: "Next" }).click();

  await p.getByText("Which file was first, by ls -t?").waitFor();
  await p.getByLabel("more").check();
  await p.getByText("Not right. Choose again.").waitFor();
  await p.getByLabel("note, if x < y").check();
  await p.getByText("It was written in step 1.").waitFor();
  await accessible(p, "a question");
  await p.getByRole("button", { name: "Finish" }).click();
  await p.getByText("You have finished this lab.").waitFor();

  // Back, to a step, the solution that is not released, and from the beginning.
  await p.getByRole("button", { name: "Back" }).click();
  await p.getByRole("heading", { name: "Write more" }).waitFor();
  await p.getByRole("button", { name: "Solve" }).click();
  await p.getByRole("button", { name: "Solve the step" }).click();
  await p.getByText("the instructor has not released this solution").waitFor();
  await p.getByText("Step 2 of 3").click();
  await p.getByRole("button", { name: /What was it/ }).click();
  await p.getByRole("button", { name: "Go there" }).click();
  await p.getByText("Which file was first, by ls -t?").waitFor();
  await p.getByRole("button", { name: "Reset" }).click();
  await p.getByRole("button", { name: "Start again" }).click();
  await p.getByRole("heading", { name: "Write a note" }).waitFor();
  await until("the checks are those of the beginning", () => check(p, "todo").count(), (n) => n === 1);
  await clean(p);
});

test("a reload keeps the place, and the name's owner alone comes back on another device", async () => {
  const p = await someone();
  await p.goto(page);
  await p.getByLabel("Code of the room").fill("ROOM-42");
  await p.getByLabel("Your name").fill("Edsger");
  await p.getByRole("button", { name: "Join", exact: true }).click();
  const returnCode = await p.locator(".bigcode").innerText();
  await p.getByRole("button", { name: "Go on" }).click();
  await p.getByRole("button", { name: "Notes that stay" }).click();
  await p.getByRole("button", { name: "Run: echo written > note" }).click();
  await check(p, "done").waitFor();
  await p.getByRole("button", { name: "Next" }).click();
  await p.getByRole("heading", { name: "Write more" }).waitFor();
  await p.reload();
  await p.getByRole("heading", { name: "Write more" }).waitFor();
  await shows(p, "Edsger$");

  const q = await someone();
  await q.goto(`${page}#code=ROOM-42`);
  assert.equal(await q.getByLabel("Code of the room").inputValue(), "ROOM-42");
  await q.getByLabel("Your name").fill("Edsger");
  await q.getByRole("button", { name: "Join", exact: true }).click();
  await q.getByText("this name is taken").waitFor();
  await q.getByLabel("Return code").fill(returnCode);
  await q.getByRole("button", { name: "Join", exact: true }).click();
  await q.getByRole("button", { name: "Go on" }).click();
  await q.getByRole("heading", { name: "Write more" }).waitFor();
  await clean(p);
  await clean(q);
});

test("what is typed while the connection is lost is sent when it is back", async () => {
  const p = await someone();
  await join(p, "Barbara");
  await p.getByRole("button", { name: "Notes that stay" }).click();
  await shows(p, "Barbara$");
  try {
    await stub("break", { on: true });
    await p.getByText("The connection to the class is lost.").waitFor();
    await p.getByText("Not connected. Trying again.").waitFor();
    await p.locator(".xterm-box").click();
    await p.keyboard.type("echo kept > note\n");
    await p.getByText("Not connected. 17 characters are sent later.").waitFor();
  } finally {
    await stub("break", { on: false });
  }
  await check(p, "done").waitFor();
  await shows(p, "echo kept");
  await p.getByText("The connection to the class is lost.").waitFor({ state: "detached" });
  await clean(p);
});

test("HTML of a workbench cannot run a script, load anything or look like the page", async () => {
  const p = await someone();
  await join(p, "Mallory");
  await p.getByRole("button", { name: "Notes that stay" }).click();
  const html = [
    "<p>harmless <b>text</b></p><script>window.bad = 1</script><img src=x onerror='window.bad = 2'><svg onload='window.bad = 3'></svg>",
    "<iframe src='javascript:parent.bad = 4'></iframe><style>body { display: none }</style><form action='api/leave'><button>Leave</button></form>",
    "<a href='javascript:bad = 5' onclick='bad = 6' style='position:fixed;inset:0' class='notice' id='page'>link</a><math><mtext></form><form><mglyph><style></math><img src onerror='window.bad = 7'>",
  ].join("");
  await stub("evil", { name: "Mallory", html });
  await p.getByText("harmless text").waitFor();
  const inside = await p.locator("article").evaluate((e) => ({
    tags: [...e.querySelectorAll("script, img, iframe, style, form, svg, object, [onclick], [style], a[href]")].map((x) => x.outerHTML),
    bad: window.bad,
  }));
  assert.deepEqual(inside, { tags: [], bad: undefined });
  // The policy stops handlers in the document that the sanitizer parses, and says so.
  p.problems = p.problems.filter((x) => !x.startsWith("Executing inline event handler violates"));
  await clean(p);
});

test("escape sequences of a terminal change neither the clipboard nor the title, and open nothing", async () => {
  const p = await someone();
  await p.context().grantPermissions(["clipboard-read", "clipboard-write"]);
  await join(p, "Trudy");
  await p.getByRole("button", { name: "Notes that stay" }).click();
  await shows(p, "Trudy$");
  await p.evaluate(() => navigator.clipboard.writeText("mine"));
  const opened = [];
  p.context().on("page", (x) => opened.push(x.url()));
  await p.locator(".xterm-box").click();
  await p.keyboard.type("printf '\\033]52;c;c3RvbGVu\\007\\033]2;stolen\\007\\033]8;;http://example.org/\\007press\\033]8;;\\007\\n'; echo e''nd\n");
  await shows(p, "end");
  await p.locator(".xterm-rows").getByText("press", { exact: true }).last().click({ force: true });
  assert.equal(await p.evaluate(() => navigator.clipboard.readText()), "mine");
  assert.equal(await p.title(), "Wheelhouse");
  assert.deepEqual(opened, []);
  await clean(p);
});

test("the instructor's message, timer, slide and request to type are shown", async () => {
  const p = await someone();
  await join(p, "Alan");
  await p.getByRole("button", { name: "Notes that stay" }).click();
  await stub("class", { message: "Break <b>until</b> ten", timer: new Date(Date.now() + 600_000).toISOString(), slide: { deck: "workshop", page: 3 }, follow: true });
  await p.getByText("Break <b>until</b> ten").waitFor();
  await p.getByRole("timer").filter({ hasText: /^(10:00|9:\d\d) left$/ }).waitFor();
  await p.frameLocator("iframe").getByText("Slide of workshop").waitFor();
  await picture(p, "slide");
  await p.getByRole("button", { name: "Read", exact: true }).click();
  await p.reload();
  await p.frameLocator("iframe").getByText("Slide of workshop").waitFor();
  assert.equal(await p.getByText("until</b> ten").count(), 0, "a message that was read is shown again");
  await stub("class", { message: "", timer: null, slide: null, follow: false });
  await stub("watch", { name: "Alan", typing: "asked" });
  await p.getByRole("button", { name: "Allow", exact: true }).click();
  await p.getByText("The instructor may type into your terminal.").waitFor();
  await p.getByRole("button", { name: "End this" }).click();
  await p.getByText("may type").waitFor({ state: "detached" });
  await clean(p);
});

test("a phone has one part of the page at a time, and all of it by the keyboard alone", async () => {
  const p = await someone({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await join(p, "Hedy");
  await p.getByRole("button", { name: "Notes that stay" }).focus();
  await p.keyboard.press("Enter");
  await p.getByRole("heading", { name: "Write a note" }).waitFor();
  await accessible(p, "a lab on a phone");
  await picture(p, "phone-text");
  await p.getByRole("button", { name: "Run: echo written > note" }).focus();
  await p.keyboard.press("Enter");
  await shows(p, "echo written");
  await picture(p, "phone-terminal");
  await p.getByRole("button", { name: "Checks 1/1" }).waitFor();
  await p.locator(".xterm-helper-textarea").focus();
  await p.keyboard.press("F6");
  await p.getByRole("heading", { name: "Write a note" }).waitFor();
  const wide = await p.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= 360, `the page is ${wide} px wide`);
  await p.getByRole("button", { name: "Map" }).click();
  await picture(p, "phone-map");
  await clean(p);
});

test("a request that a browser breaks off is sent again", async () => {
  const p = await someone();
  await join(p, "Barbara Two");
  let sent = 0;
  await p.route("**/api/desk", (r) => (sent++ ? r.continue() : r.abort("internetdisconnected")));
  await p.getByRole("button", { name: "Notes that stay" }).click();
  await p.getByRole("heading", { name: "Write a note" }).waitFor();
  assert.equal(sent, 2);
  await clean(p);
});

test("a page whose server is not reached has no form to join, and goes on when it is", async () => {
  const p = await someone();
  await join(p, "Ada Away");
  await p.route("**/api/me", (r) => r.abort("internetdisconnected"));
  await p.reload();
  await p.getByText("The server cannot be reached").waitFor();
  assert.equal(await p.getByLabel("Your name").count(), 0);
  await p.unroute("**/api/me");
  await p.getByRole("button", { name: "Notes that stay" }).waitFor();
  const other = await someone();
  await other.goto(page + "#code=%");
  await other.getByLabel("Code of the room").waitFor();
  await clean(other);
});

test("who has joined has no form to join as another while the server is not reached", async () => {
  const p = await someone();
  await p.goto(page);
  await p.getByLabel("Code of the room").fill("ROOM-42");
  await p.getByLabel("Your name").fill("Ada Joined");
  await p.route("**/api/me", (r) => r.abort("internetdisconnected"));
  await p.getByRole("button", { name: "Join", exact: true }).click();
  await p.getByText("The server cannot be reached").waitFor();
  assert.equal(await p.getByLabel("Your name").count(), 0);
  await p.unroute("**/api/me");
  await p.getByRole("button", { name: "Go on" }).click();
  await p.getByRole("button", { name: "Notes that stay" }).waitFor();
  await clean(p);
});

test("a connection that is never answered is given up, and another one is made", async () => {
  const p = await someone();
  await p.clock.install();
  let asked = 0;
  await p.route("**/api/live", () => void asked++); // no answer
  await join(p, "Ada Unanswered");
  await until("a second connection", async () => {
    await p.clock.runFor(45_000);
    return asked;
  }, (n) => n > 1);
  await p.context().close();
});

test("a connection on which nothing comes is lost", async () => {
  const p = await someone();
  await p.clock.install();
  await join(p, "Ada Quiet");
  await p.getByRole("button", { name: "Notes that stay" }).waitFor();
  const lost = p.locator(".live.lost");
  await p.clock.runFor(2_000);
  assert.equal(await lost.count(), 0);
  await p.route("**/api/live", (r) => r.abort("internetdisconnected")); // a new connection; on the one that is open nothing comes
  await until("the page is lost", async () => {
    await p.clock.runFor(45_000);
    return lost.count();
  }, (n) => n > 0);
});

test("two learners have different screens", async () => {
  const [a, b] = [await someone(), await someone()];
  for (const [p, name] of [[a, "Anna"], [b, "Ben"]]) {
    await join(p, name);
    await p.getByRole("button", { name: "Notes that stay" }).click();
    await shows(p, name + "$");
  }
  await a.getByRole("button", { name: "Run: echo written > note" }).click();
  await check(a, "done").waitFor();
  assert.equal(await check(b, "todo").count(), 1);
  assert.ok(!(await screen(b)).includes("echo written"));
  await clean(a);
  await clean(b);
});

test("the page is in the browser's language where there is a translation, and in the one that was chosen", async () => {
  const p = await someone({ locale: "de-AT" });
  await p.goto(page);
  await p.getByRole("button", { name: "Teilnehmen" }).waitFor();
  assert.equal(await p.locator("html").getAttribute("lang"), "de");
  await p.getByLabel("Sprache").selectOption("en");
  await p.getByRole("button", { name: "Join", exact: true }).waitFor();
  await p.reload();
  await p.getByRole("button", { name: "Join", exact: true }).waitFor();
  await clean(p);
});
