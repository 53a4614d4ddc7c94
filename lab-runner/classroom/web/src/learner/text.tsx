// The text of a step: blocks of HTML, commands that run in the terminal by a click, questions.
import { useEffect, useState } from "preact/hooks";
import { t } from "../i18n";
import type { Block, Question, View } from "../page";
import { Html } from "../parts";

interface Props {
  view: View;
  run: (command: string) => void;
  answer: (question: number, answer: number) => void;
}

export function Text({ view, run, answer }: Props) {
  let questions = 0;
  const blocks = view.text.map((b, i) => {
    if (b.kind === "quiz") {
      const n = questions++;
      const q = view.quiz[n];
      return q ? <Quiz key={i} question={q} number={n} answer={answer} /> : <Html key={i} html={b.html} />;
    }
    if (b.kind === "command" || b.kind === "fails") return <Command key={i} block={b} run={run} />;
    return <Html key={i} html={b.html} class={"html " + b.kind} />;
  });
  return (
    <>
      {blocks}
      {view.quiz.slice(questions).map((q, i) => <Quiz key={"q" + (questions + i)} question={q} number={questions + i} answer={answer} />)}
    </>
  );
}

function Command({ block, run }: { block: Block; run: (command: string) => void }) {
  const [ran, setRan] = useState(false);
  return (
    <div class={block.kind === "fails" ? "command fails" : "command"}>
      <pre tabIndex={0} aria-label={t("command.label")}><code>{block.command}</code></pre>
      <button type="button" onClick={() => { run(block.command); setRan(true); }} title={t("command.run.title")} aria-label={(ran ? t("command.again") : t("command.run")) + ": " + block.command}>
        <span aria-hidden="true">▶</span> {ran ? t("command.again") : t("command.run")}
      </button>
      {block.kind === "fails" && <p class="quiet">{t("command.fails")}</p>}
    </div>
  );
}

function Quiz({ question: q, number, answer }: { question: Question; number: number; answer: (q: number, a: number) => void }) {
  const [chosen, choose] = useState(-1); // until the server has answered
  useEffect(() => choose(-1), [q.given]);
  return (
    <fieldset class="quiz">
      <legend><Inline text={q.text} /></legend>
      {q.answers.map((a, i) => (
        <label key={i} class={i === q.given ? (q.right ? "given right" : "given wrong") : ""}>
          <input type="radio" name={"question" + number} checked={i === (chosen < 0 ? q.given : chosen)} onChange={() => { choose(i); answer(number, i); }} />
          <Inline text={a} />
        </label>
      ))}
      <div role="status">
        {q.given >= 0 && <p class={q.right ? "right" : "wrong"}>{q.right ? "✓ " + t("quiz.right") : "✗ " + t("quiz.wrong")}</p>}
        {q.given >= 0 && q.explanation && <p><Inline text={q.explanation} /></p>}
      </div>
    </fieldset>
  );
}

// Inline is text in which what stands between backticks is code.
function Inline({ text }: { text: string }) {
  return <span>{text.split("`").map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</span>;
}
