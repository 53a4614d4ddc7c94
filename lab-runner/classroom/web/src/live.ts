// Live is a stream of server-sent events that connects again when it breaks. The first events
// of each connection have the whole state.
import { address } from "./api";
import { Retry } from "./retry";

export type LiveState = "connecting" | "open" | "lost";

export class Live {
  private source: EventSource | null = null;
  private readonly retry = new Retry(() => this.connect());

  // handlers are called with the data of the events of their name. state is called when the connection changes.
  constructor(
    private readonly path: string,
    private readonly handlers: Record<string, (data: unknown) => void>,
    private readonly state: (s: LiveState) => void,
  ) {
    state("connecting");
    this.connect();
  }

  stop(): void {
    this.retry.stop();
    this.source?.close();
    this.source = null;
  }

  private connect(): void {
    this.source?.close();
    const source = (this.source = new EventSource(address(this.path)));
    source.onopen = () => {
      this.retry.succeeded();
      this.state("open");
    };
    source.onerror = () => {
      if (source !== this.source) return;
      source.close();
      this.retry.later();
      this.state("lost");
    };
    for (const [name, handle] of Object.entries(this.handlers)) {
      source.addEventListener(name, (event: MessageEvent<string>) => {
        let data: unknown;
        try {
          data = JSON.parse(event.data);
        } catch {
          return; // not an event of this contract
        }
        handle(data);
      });
    }
  }
}
