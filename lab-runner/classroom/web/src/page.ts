// The state of a page as the server and the workbench report it, with types and bounds. What
// the names mean is in the README.
import { date, flag, line, list, number, object, oneOf, plain, text } from "./safe";

export const stepStates = ["todo", "done", "solved", "skipped"] as const;
export const checkStates = ["todo", "done", "lost"] as const;
export const blockKinds = ["text", "code", "command", "fails", "quiz"] as const;

export type View = ReturnType<typeof view>;
export type Block = View["text"][number];
export type Check = View["checks"][number];
export type Question = View["quiz"][number];

export function view(v: unknown) {
  const o = object(v);
  return {
    lab: line(o["lab"]),
    title: line(o["title"]),
    step: Math.max(0, number(o["step"])),
    steps: list(o["steps"], (s) => {
      const step = object(s);
      return { name: line(step["name"]), title: line(step["title"]), state: oneOf(step["state"], stepStates, "todo") };
    }),
    text: list(o["text"], (b) => {
      const block = object(b);
      return { kind: oneOf(block["kind"], blockKinds, "text"), html: text(block["html"]), command: text(block["command"]) };
    }),
    checks: list(o["checks"], (c) => {
      const check = object(c);
      return { name: line(check["name"]), state: oneOf(check["state"], checkStates, "todo"), since: date(check["since"]), reason: reason(check["reason"]) };
    }),
    hints: list(o["hints"], text),
    hintsLeft: number(o["hintsLeft"]),
    quiz: list(o["quiz"], (q) => {
      const question = object(q);
      return {
        text: text(question["text"]),
        answers: list(question["answers"], text),
        given: number(question["given"], -1),
        right: flag(question["right"]),
        explanation: text(question["explanation"]),
      };
    }),
    done: flag(o["done"]),
  };
}

function reason(v: unknown) {
  if (typeof v !== "object" || v === null) return null;
  const o = object(v);
  return { wanted: line(o["wanted"], 1000), seen: line(o["seen"], 2000), event: line(o["event"], 1000), elsewhere: line(o["elsewhere"], 1000), try: line(o["try"], 1000) };
}

export type ClusterMap = ReturnType<typeof clusterMap>;

export function clusterMap(v: unknown) {
  const o = object(v);
  return {
    nodes: list(o["nodes"], (n) => ({ name: line(object(n)["name"]), ready: flag(object(n)["ready"]) })),
    pods: list(o["pods"], (p) => {
      const pod = object(p);
      return { name: line(pod["name"]), node: line(pod["node"]), state: line(pod["state"]), phrase: line(pod["phrase"]) };
    }),
    services: list(o["services"], (s) => ({ name: line(object(s)["name"]), pods: list(object(s)["pods"], (p) => line(p)) })),
  };
}

export type ClassState = ReturnType<typeof classState>;

export function classState(v: unknown) {
  const o = object(v);
  const slide = object(o["slide"]);
  return {
    title: line(o["title"]),
    labs: list(o["labs"], (l) => line(l)),
    message: text(o["message"]).slice(0, 2000),
    timer: date(o["timer"]),
    slide: line(slide["deck"]) ? { deck: line(slide["deck"]), page: number(slide["page"], 1) } : null,
    follow: flag(o["follow"]),
  };
}

export type Me = ReturnType<typeof me>;

export function me(v: unknown) {
  const o = object(v);
  return {
    id: line(o["id"]),
    name: line(o["name"]),
    returnCode: line(o["returnCode"]),
    class: classState(o["class"]),
    help: flag(o["help"]),
    watched: flag(o["watched"]),
    typing: oneOf(o["typing"], ["no", "asked", "allowed"] as const, "no"),
    programs: list(o["programs"], (p) => {
      const program = object(p);
      return { system: line(program["system"], 20), arch: line(program["arch"], 20), path: line(program["path"]), bytes: number(program["bytes"]) };
    }).filter((p) => /^bundle\/files\/[\w./-]+$/.test(p.path)),
  };
}

export type Lab = ReturnType<typeof lab>;

export function lab(v: unknown) {
  const o = object(v);
  return {
    lab: line(o["lab"]),
    title: line(o["title"]),
    about: line(o["about"], 1000),
    minutes: number(o["minutes"]),
    track: line(o["track"]),
    steps: list(o["steps"], (s) => line(s)),
    stepsDone: number(o["stepsDone"]),
    open: flag(o["open"]),
    here: flag(o["here"]),
    why: line(o["why"], 1000),
  };
}

// said is what the answer of the workbench has to show, as lines of text.
export function said(v: unknown): string {
  if (typeof v === "string") return plain(v);
  const o = object(v);
  for (const key of ["text", "output", "message"]) if (typeof o[key] === "string") return plain(o[key]);
  if (Array.isArray(v)) return list(v, said).filter(Boolean).join("\n");
  return Object.values(o).map((x) => (typeof x === "number" || typeof x === "boolean" ? "" : said(x))).filter(Boolean).join("\n");
}
