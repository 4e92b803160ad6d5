import { assertEquals } from "#assert";
import { test } from "#test";
import { SocketTransport } from "../../transport/socket_transport.ts";

test("`SocketTransport` frees its socket when both sides have ended cleanly, whichever ends first", async () => {
  for (const order of [["end", "atEnd"], ["atEnd", "end"]] as const) {
    let freed = 0;
    const transport = new SocketTransport("peer", {
      pull() {},
      write() {},
      shutdown() {},
      destroy: () => void freed++,
    });
    transport.read({ chunk: () => true, done() {} });
    await transport[order[0]]();
    await Promise.resolve();
    assertEquals(freed, 0, order[0]);
    await transport[order[1]]();
    await Promise.resolve();
    assertEquals(freed, 1, order.join());
    await transport.close();
    assertEquals(freed, 1, order.join());
  }
});

test("`readTarget()` is undefined while chunks wait for the sink", () => {
  const target = new Uint8Array(100);
  const got: number[] = [];
  let wants = true;
  const transport = new SocketTransport("peer", {
    pull() {},
    write() {},
    shutdown() {},
    destroy() {},
  });
  assertEquals(transport.readTarget(), undefined);
  transport.read({
    chunk(bytes) {
      got.push(bytes.length);
      return wants;
    },
    done() {},
    readTarget: () => target,
  });
  assertEquals(transport.readTarget() === target, true);
  wants = false;
  transport.deliver(new Uint8Array(1));
  transport.deliver(new Uint8Array(2)); // was read already
  assertEquals([got, transport.readTarget()], [[1], undefined]);
  wants = true;
  transport.resume();
  assertEquals([got, transport.readTarget() === target], [[1, 2], true]);
});
