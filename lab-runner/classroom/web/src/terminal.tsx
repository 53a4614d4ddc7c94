// Terminal is a terminal of a workbench, drawn by xterm.js, which takes the escape sequences
// of the untrusted output. None of them changes anything outside it: no clipboard (OSC 52), no
// title, no links.
import { FitAddon } from "@xterm/addon-fit";
import { Terminal as Xterm } from "@xterm/xterm";
import { useEffect, useRef, useState } from "preact/hooks";
import { many, t } from "./i18n";
import { kept, keep } from "./kept";
import { Socket } from "./socket";

export interface Handle {
  // run types a command and the key Enter.
  run(command: string): void;
  focus(): void;
}

interface Props {
  path: string;
  readOnly?: boolean;
  shown: boolean;
  label: string;
  handle?: (h: Handle | null) => void;
  onState?: (state: string) => void;
  leave?: boolean; // the page handles the key F6, which leaves the terminal
}

const theme = { background: "#0f1b26", foreground: "#e6edf3", cursor: "#ffd479", selectionBackground: "#3d5a76", brightBlack: "#8b9bab", blue: "#6cb6ff", red: "#ff8b80" };

function newTerminal(readOnly: boolean): Xterm {
  const term = new Xterm({
    theme,
    disableStdin: readOnly,
    cursorBlink: false,
    scrollback: 2000,
    fontFamily: "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
    fontSize: Number(kept("fontsize")) || (matchMedia("(max-width: 700px)").matches ? 12 : 14),
    minimumContrastRatio: 4.5,
    screenReaderMode: kept("reader") === "on",
    linkHandler: { activate: () => undefined, allowNonHttpProtocols: false },
  });
  for (const code of [0, 1, 2, 52]) term.parser.registerOscHandler(code, () => true);
  return term;
}

export function Terminal({ path, readOnly = false, shown, label, handle, onState, leave }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const term = useRef<Xterm | null>(null);
  const fit = useRef<() => void>(() => undefined);
  const send = useRef<(data: string) => void>(() => undefined);
  const [state, setState] = useState({ state: "connecting", text: "", waiting: 0, full: false });
  const [reader, setReader] = useState(kept("reader") === "on");
  const [ctrl, setCtrl] = useState(false);
  const held = useRef(false);
  held.current = ctrl;

  useEffect(() => {
    const el = box.current;
    if (!el) return;
    const x = (term.current = newTerminal(readOnly));
    const addon = new FitAddon();
    x.loadAddon(addon);
    x.open(el);
    const fitNow = (fit.current = () => {
      if (el.offsetWidth > 0 && el.offsetHeight > 20) addon.fit();
    });
    fitNow();
    const socket = new Socket(path, {
      size: () => ({ columns: x.cols, rows: x.rows }),
      output: (data) => x.write(data),
      fresh: () => x.reset(),
      state: (s, text, waiting) => {
        setState({ state: s, text, waiting, full: false });
        onState?.(s);
      },
    });
    send.current = (data) => {
      if (!socket.keys(data)) setState((s) => ({ ...s, full: true }));
    };
    x.onData((data) => {
      if (held.current && data.length === 1) {
        data = String.fromCharCode(data.toUpperCase().charCodeAt(0) & 31);
        setCtrl(false);
      }
      send.current(data);
    });
    x.onBinary((data) => send.current(data));
    x.onResize(({ cols, rows }) => socket.resize({ columns: cols, rows }));
    x.attachCustomKeyEventHandler((e) => e.key !== "F6" || !leave);
    const observer = new ResizeObserver(() => fitNow());
    observer.observe(el);
    handle?.({
      focus: () => x.focus(),
      run: (command) => {
        send.current("\u0015"); // what stands on the line stays in the shell's kill ring
        x.paste(command);
        send.current("\r");
      },
    });
    return () => {
      observer.disconnect();
      socket.stop();
      x.dispose();
      handle?.(null);
    };
  }, [path, readOnly]);

  useEffect(() => {
    if (shown) fit.current();
  }, [shown]);

  const key = (data: string) => () => {
    send.current(data);
    term.current?.focus();
  };
  const size = (by: number) => () => {
    const x = term.current;
    if (!x) return;
    x.options.fontSize = Math.min(28, Math.max(9, (x.options.fontSize ?? 14) + by));
    keep("fontsize", String(x.options.fontSize));
    fit.current();
  };
  const readAloud = (on: boolean) => {
    setReader(on);
    keep("reader", on ? "on" : "");
    if (term.current) term.current.options.screenReaderMode = on;
  };

  return (
    <section class="terminal" aria-label={label} hidden={!shown}>
      <div class="xterm-box" ref={box} />
      {!readOnly && (
        <div class="softkeys" role="group" aria-label={t("terminal.keys")}>
          <button type="button" onClick={key("\u001b")}>Esc</button>
          <button type="button" onClick={key("\t")}>Tab</button>
          <button type="button" aria-pressed={ctrl} onClick={() => { setCtrl(!ctrl); term.current?.focus(); }}>Ctrl</button>
          <button type="button" onClick={key("\u0003")}>Ctrl-C</button>
          <button type="button" aria-label={t("terminal.up")} onClick={key("\u001b[A")}>↑</button>
          <button type="button" aria-label={t("terminal.down")} onClick={key("\u001b[B")}>↓</button>
          <button type="button" aria-label={t("terminal.left")} onClick={key("\u001b[D")}>←</button>
          <button type="button" aria-label={t("terminal.right")} onClick={key("\u001b[C")}>→</button>
        </div>
      )}
      <div class="terminal-foot">
        <span role="status">{says(state)}</span>
        <span class="spacer" />
        {leave && <span class="quiet keyboard-only">{t("terminal.leave")}</span>}
        <label><input type="checkbox" checked={reader} onChange={(e) => readAloud(e.currentTarget.checked)} /> {t("terminal.reader")}</label>
        <button type="button" onClick={size(-1)}>A−<span class="unseen">: {t("terminal.smaller")}</span></button>
        <button type="button" onClick={size(1)}>A+<span class="unseen">: {t("terminal.larger")}</span></button>
      </div>
    </section>
  );
}

function says(s: { state: string; text: string; waiting: number; full: boolean }): string {
  if (s.full) return t("terminal.full");
  if (s.waiting > 0) return many("terminal.waiting", s.waiting);
  if (s.text) return s.text;
  switch (s.state) {
    case "ready":
      return t("terminal.ready");
    case "watched":
      return t("terminal.watched");
    case "lost":
      return t("terminal.lost");
    default:
      return t("terminal.connecting");
  }
}
