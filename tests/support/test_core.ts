/**
 * The broker's core without sockets: frames go in by calls and come out in lists.
 *
 * @module
 */
import { BrokerCore } from "../../broker/core.ts";
import type { Peer, PeerWire } from "../../broker/peer.ts";
import { Frame } from "../../codec/frame.ts";
import type { Version } from "../../codec/protocol.ts";

/** A wire that is full when it is told to be. */
export class TestWire implements PeerWire {
  /** The version that was negotiated. */
  version: Version = "1.2";
  /** What was sent, and not taken out. */
  sent: Frame[] = [];
  /** Whether reading is paused. */
  paused = false;
  /** Whether the broker has ended the connection. */
  ended = false;
  #full: PromiseWithResolvers<void> | undefined;

  /** From here on there is no room. */
  fill(): void {
    this.#full ??= Promise.withResolvers();
  }

  /** There is room again; resolves when everybody knows. */
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

/** A peer of a core. */
export interface TestPeer {
  /** What is sent to it. */
  wire: TestWire;
  /** What the core knows of it. */
  peer: Peer;
  /** Lets it say something. */
  say(command: string, headers: Record<string, string>, body?: string): void;
}

/** Creates a core, and a function that connects a peer to it. */
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
