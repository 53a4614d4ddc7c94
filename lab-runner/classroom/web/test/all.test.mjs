// All tests of the pages, in one browser. The board's come first: they remove all learners at their end.
import { after, before } from "node:test";
import { close, open } from "./browser.mjs";

before(open);
after(close);

await import("./board.mjs");
await import("./learner.mjs");
