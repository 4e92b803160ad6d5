/**
 * The broker's core without sockets: frames go in by calls and come out as lists.
 *
 * @module
 */
import { BrokerCore } from "../../broker/core.ts";
import type { Peer, PeerWire } from "../../broker/peer.ts";
import { Frame } from "../../codec/frame.ts";
import { headerRules, parseHeaders } from "../../codec/headers.ts";
import type { Version } from "../../codec/protocol.ts";

/** A wire that is full when the test says so. */
export class TestWire implements PeerWire {
  /** The wire itself. */
  readonly socket: this = this;
  /** The negotiated version. */
  version: Version = "1.2";
  /** The frames sent that the test has not removed. */
  sent: Frame[] = [];
  /** Whether reading is paused. */
  paused = false;
  /** Whether the broker has ended the connection. */
  ended = false;
  #full: PromiseWithResolvers<void> | undefined;

  /** Makes the wire full. */
  fill(): void {
    this.#full ??= Promise.withResolvers();
  }

  /** Makes the wire accept frames again. Resolves after all senders have been notified. */
  async drain(): Promise<void> {
    const full = this.#full;
    this.#full = undefined;
    full?.resolve();
    await full?.promise;
  }

  send(frame: Frame): Promise<void> | undefined {
    this.sent.push(frame);
    return this.#full?.promise;
  }

  sendEncoded(head: string, body: Uint8Array): Promise<void> | undefined {
    const [command, lines] = [head.slice(0, head.indexOf("\n")), head.slice(head.indexOf("\n") + 1)];
    const headers = parseHeaders(lines, headerRules(command, this.version));
    return this.send(new Frame().buildFrame({ command, headers, body }));
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
  }

  connected(): void {}

  end(): void {
    this.ended = true;
  }
}

/** A peer that is connected to a core. */
export interface TestPeer {
  /** The wire that the core sends to. */
  wire: TestWire;
  /** The core's record of the peer. */
  peer: Peer;
  /** Sends a frame to the core. */
  say(command: string, headers: Record<string, string>, body?: string): void;
}

/** Creates a core and a function that connects a peer to it. */
export function testCore(): { core: BrokerCore; join: (version?: Version) => TestPeer } {
  const core = new BrokerCore({
    login: undefined,
    passcode: undefined,
    heartbeat: { send: 0, receive: 0 },
    versions: ["1.0", "1.1", "1.2"],
    maxRedeliveries: Infinity,
    maxStoredBytes: Infinity,
    maxBacklogBytes: Infinity,
  });
  const join = (version: Version = "1.2") => {
    const wire = new TestWire();
    const peer = core.join(wire);
    const say: TestPeer["say"] = (command, headers, body = "") =>
      core.handle(peer, new Frame().buildFrame({ command, headers, body }));
    say("CONNECT", { "accept-version": version, host: "h" });
    return { wire, peer, say };
  };
  return { core, join };
}
