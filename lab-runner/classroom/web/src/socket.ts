// Socket carries a terminal: keys to the server, output from it. It connects again when the
// connection breaks, and keeps what is typed in between.
import { address } from "./api";
import { Retry } from "./retry";
import { line, object } from "./safe";

const frame = 32 * 1024; // bytes of keys in a frame; the server refuses more than 64 KiB
const steady = 5000; // ms
const mostKept = 4096; // bytes of keys that wait for a connection

const encoder = new TextEncoder();
const decoder = new TextDecoder();

export interface Size {
  columns: number;
  rows: number;
}

export interface Listener {
  size(): Size;
  output(data: Uint8Array): void;
  // fresh is called before the first output of each connection, which draws the whole screen.
  fresh(): void;
  // state is "connecting", "ready", "lost" or another one of the server's, with its sentence.
  state(state: string, text: string, waiting: number): void;
}

export class Socket {
  private socket: WebSocket | null = null;
  private waiting: Uint8Array[] = [];
  private waitingBytes = 0;
  private opened = false;
  private since = 0; // when it was opened
  private last = ""; // what the server said last
  private readonly retry = new Retry(() => this.connect());

  constructor(
    private readonly path: string,
    private readonly listener: Listener,
  ) {
    this.connect();
  }

  stop(): void {
    this.retry.stop();
    const old = this.socket;
    this.socket = null;
    old?.close();
  }

  // keys sends what was typed. It reports whether it was sent or is kept.
  keys(data: string): boolean {
    const bytes = encoder.encode(data);
    for (let at = 0; at < bytes.length; at += frame) {
      if (!this.send(bytes.subarray(at, at + frame))) return false;
    }
    return true;
  }

  resize(size: Size): void {
    if (this.opened) this.socket?.send(framed("r", encoder.encode(JSON.stringify(size))));
  }

  private send(bytes: Uint8Array): boolean {
    if (this.opened) {
      this.socket?.send(framed("d", bytes));
      return true;
    }
    if (this.waitingBytes + bytes.length > mostKept) return false;
    this.waiting.push(bytes);
    this.waitingBytes += bytes.length;
    this.listener.state("lost", "", this.waitingBytes);
    return true;
  }

  private connect(): void {
    const old = this.socket;
    this.socket = null;
    this.opened = false;
    old?.close();
    this.listener.state("connecting", "", this.waitingBytes);
    const { columns, rows } = this.listener.size();
    const url = new URL(address(this.path));
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    url.searchParams.set("columns", String(columns));
    url.searchParams.set("rows", String(rows));
    const socket = (this.socket = new WebSocket(url, "wheelhouse.terminal"));
    socket.binaryType = "arraybuffer";
    let fresh = true;
    socket.onmessage = (event: MessageEvent<unknown>) => {
      if (socket !== this.socket || !(event.data instanceof ArrayBuffer) || event.data.byteLength === 0) return;
      const bytes = new Uint8Array(event.data);
      if (bytes[0] === 100 /* d */) {
        if (fresh) {
          this.listener.fresh();
          this.ready();
        }
        fresh = false;
        this.listener.output(bytes.subarray(1));
      } else if (bytes[0] === 115 /* s */) {
        this.says(bytes.subarray(1));
      }
    };
    socket.onclose = () => {
      if (socket !== this.socket) return;
      // A connection that ends at once is no success: the delay grows.
      if (this.opened && Date.now() - this.since > steady) this.retry.succeeded();
      this.opened = false;
      this.retry.later();
      this.listener.state("lost", this.last, this.waitingBytes);
    };
  }

  private says(bytes: Uint8Array): void {
    try {
      const says = object(JSON.parse(decoder.decode(bytes)));
      const state = line(says["state"], 40);
      if (state === "ready") this.ready();
      this.last = line(says["text"], 1000);
      this.listener.state(state, this.last, this.waitingBytes);
    } catch {
      // not a state of this contract
    }
  }

  // ready sends what was typed while there was no terminal.
  private ready(): void {
    if (this.opened) return;
    this.opened = true;
    this.since = Date.now();
    for (const bytes of this.waiting) this.socket?.send(framed("d", bytes));
    this.waiting = [];
    this.waitingBytes = 0;
    this.resize(this.listener.size());
    this.listener.state("ready", "", 0);
  }
}

function framed(kind: string, bytes: Uint8Array): ArrayBuffer {
  const out = new Uint8Array(bytes.length + 1);
  out[0] = kind.charCodeAt(0);
  out.set(bytes, 1);
  return out.buffer;
}
