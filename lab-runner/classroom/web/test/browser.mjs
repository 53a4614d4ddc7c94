// What the tests share: a browser of the distribution, and contexts that stand for one person each.
import { chromium } from "playwright-core";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";

export const page = process.env.PAGE;
export const code = process.env.CODE;
const pictures = process.env.WHEELHOUSE_PICTURES;

const found = (name) => {
  try {
    return execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim();
  } catch {
    return "";
  }
};

let browser;

export async function open() {
  const path = found("chromium") || found("google-chrome");
  if (!path) throw new Error("no Chromium: run 'make setup' (the distribution's package chromium)");
  // The sandbox of Chromium does not work for root; the pages are our own.
  browser = await chromium.launch({ executablePath: path, args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"] });
}

export const close = () => browser?.close();

// someone is a person with a browser of their own. What the console complains about is collected in problems:
// a refusal of the content security policy is there, too.
export async function someone(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale: "en-GB", colorScheme: "light", reducedMotion: "reduce", ...options });
  context.setDefaultTimeout(60_000);
  const p = await context.newPage();
  p.problems = [];
  p.foreign = [];
  p.on("console", (m) => m.type() === "error" && !/Failed to load resource|WebSocket connection/.test(m.text()) && p.problems.push(m.text()));
  p.on("pageerror", (e) => p.problems.push(String(e)));
  p.on("request", (r) => /^(https?|wss?):/.test(r.url()) && new URL(r.url()).host !== new URL(page).host && p.foreign.push(r.url()));
  return p;
}

export async function join(p, name) {
  await p.goto(page);
  await p.getByLabel("Code of the room").fill(code);
  await p.getByLabel("Your name").fill(name);
  await p.getByRole("button", { name: "Join", exact: true }).click();
  await p.getByRole("button", { name: "Go on" }).click();
}

// screen is what the terminal shows.
export const screen = (p) => p.locator(".xterm-rows").innerText();

// until waits for a condition, and says what was last seen when it does not come.
export async function until(what, look, good, patience = 60_000) {
  const end = Date.now() + patience;
  let seen;
  while (Date.now() < end) {
    seen = await look();
    if (good(seen)) return seen;
    await new Promise((r) => setTimeout(r, 50));
  }
  throw new Error(`${what}: last seen: ${JSON.stringify(seen)}`);
}

export const shows = (p, text) => until(`the terminal shows ${text}`, () => screen(p), (s) => s.includes(text));

// stub has the stub act as a server does, and returns what it has received.
export async function stub(act, body = {}) {
  const r = await fetch(`${page}test/${act}`, { method: "POST", headers: { "Content-Type": "application/json", "X-Wheelhouse": "1" }, body: JSON.stringify(body) });
  return r.json();
}

const axe = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

// accessible checks what is shown by the rules of axe for WCAG 2 A and AA, contrast included, in light and dark.
export async function accessible(p, what) {
  await p.evaluate(axe);
  for (const colorScheme of ["dark", "light"]) {
    await p.emulateMedia({ colorScheme });
    const found = await p.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] }));
    const says = found.violations.map((v) => `${v.id}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + " (" + (n.any[0]?.message ?? "") + ")").join("; ")}`);
    assert.deepEqual(says, [], `${what} in ${colorScheme}`);
    assert.ok(found.passes.length > 5, `axe has checked ${found.passes.length} rules of ${what}`);
  }
}

export async function picture(p, name) {
  if (!pictures) return;
  await mkdir(pictures, { recursive: true });
  await p.screenshot({ path: `${pictures}/${name}.png` });
}
