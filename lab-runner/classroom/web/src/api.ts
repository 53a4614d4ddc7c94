// Requests to the server of the page. All addresses are relative to the page.
import { t } from "./i18n";
import { line, object, type Json } from "./safe";

// Refused is an answer of the server that is not a success. message is its sentence.
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfter = 0, // seconds; 0: not said
  ) {
    super(message);
  }
}

// Broken is a request that a broken connection has ended.
class Broken extends Refused {}

export const address = (path: string): string => new URL(path, document.baseURI).href;

// The server's clock minus this machine's, in milliseconds: machines without a network have no common time.
let ahead = 0;
export const now = (): number => Date.now() + ahead;

const patience = 60_000; // ms

// What the board does for all learners, and what a desk does with a lab, takes longer on a busy machine: the server has the bound.
export const longest = 31 * 60_000; // ms
export const forLabs = 11 * 60_000; // ms

export async function get(path: string): Promise<unknown> {
  return ask(path, {}, patience);
}

// post sends a change. The header shows the server that a script of its own page has sent it.
// again says that the change has the same effect when it is sent twice: it is sent again when no answer came. A browser
// breaks off its requests when an interface of its machine comes or goes, as they do on a machine with a cluster.
// What was not answered in time is not: it may still be under way.
export async function post(path: string, body: Json, again = false, time = patience): Promise<unknown> {
  const options: RequestInit = {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Wheelhouse": "1" },
    body: JSON.stringify(body),
  };
  for (let left = again ? 5 : 0; ; left--) {
    try {
      return await ask(path, options, time);
    } catch (err) {
      if (left === 0 || !(err instanceof Broken)) throw err;
    }
    await new Promise((wake) => setTimeout(wake, 1500 / left)); // 0.3 s at first, then longer
  }
}

async function ask(path: string, options: RequestInit, time: number): Promise<unknown> {
  let answer: Response;
  try {
    answer = await fetch(address(path), { ...options, credentials: "same-origin", signal: AbortSignal.timeout(time) });
  } catch (err) {
    if (err instanceof Error && err.name === "TimeoutError") throw new Refused(0, t("error.unreachable"));
    throw new Broken(0, t("error.unreachable"));
  }
  const at = Date.parse(answer.headers.get("Date") ?? "");
  if (!Number.isNaN(at)) {
    // The header has whole seconds: a difference below that is none.
    ahead = Math.abs(at + 500 - Date.now()) > 1500 ? at + 500 - Date.now() : 0;
  }
  let body: unknown = null;
  try {
    body = await answer.json();
  } catch {
    // an empty answer, or a page of a proxy
  }
  if (answer.ok) return body;
  const says = line(object(body)["error"], 1000) || t("error.status", { status: answer.status });
  throw new Refused(answer.status, says, Number(answer.headers.get("Retry-After")) || 0);
}

// message returns the sentence of whatever was thrown.
export function message(err: unknown): string {
  return err instanceof Error ? err.message : String(err);
}
