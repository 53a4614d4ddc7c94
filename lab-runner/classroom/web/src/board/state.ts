// The state of the board as the server reports it, with types and bounds.
import { classState } from "../page";
import { date, flag, line, list, number, object, oneOf } from "../safe";

export type Row = ReturnType<typeof row>;
export type Board = ReturnType<typeof board>;

function row(v: unknown) {
  const o = object(v);
  const checks = object(o["checks"]);
  return {
    id: line(o["id"]),
    name: line(o["name"], 80) || "?",
    own: o["place"] === "own",
    connected: flag(o["connected"]),
    lab: line(o["lab"]),
    step: number(o["step"]) + 1, // the server counts from 0 on
    stepTitle: line(o["stepTitle"]),
    steps: number(o["steps"]),
    done: number(checks["done"]),
    todo: number(checks["todo"]),
    lost: number(checks["lost"]),
    redSince: date(o["redSince"]),
    red: line(o["red"]),
    cause: line(o["cause"]),
    help: date(o["help"]),
    solved: number(o["solved"]),
    watched: flag(o["watched"]),
    typing: oneOf(o["typing"], ["no", "asked", "allowed"] as const, "no"),
  };
}

export function board(v: unknown) {
  const o = object(v);
  const full = object(o["full"]);
  const offered = object(o["class"]);
  return {
    class: classState(o["class"]),
    open: offered["open"] === undefined ? null : opened(offered["open"]),
    learners: list(o["learners"], row),
    causes: list(o["causes"], (c) => ({ cause: line(object(c)["cause"]), count: number(object(c)["count"]) })),
    full: { learners: number(full["learners"]), limit: number(full["limit"]) },
  };
}

// opened is the set of labs that are open, from a list or from an object with true for each.
function opened(v: unknown): string[] {
  if (Array.isArray(v)) return list(v, (l) => line(l));
  return Object.entries(object(v)).filter(([, on]) => on === true).map(([l]) => l);
}

export const filters = ["all", "help", "red", "away"] as const;
export type Filter = (typeof filters)[number];

export function passes(r: Row, filter: Filter, text: string): boolean {
  const is = { all: true, help: r.help !== null, red: r.redSince !== null, away: !r.connected }[filter];
  const words = [r.name, r.lab, r.stepTitle, r.red, r.cause].join(" ").toLowerCase();
  return is && words.includes(text.trim().toLowerCase());
}

// order puts who asked for help first, the longest wait at the top, then what is red longest, then the names.
export function order(a: Row, b: Row): number {
  const times = (x: number | null): number => x ?? Infinity;
  const by = (x: number | null, y: number | null): number => (times(x) === times(y) ? 0 : times(x) < times(y) ? -1 : 1);
  return by(a.help, b.help) || by(a.redSince, b.redSince) || a.name.localeCompare(b.name) || a.id.localeCompare(b.id);
}
